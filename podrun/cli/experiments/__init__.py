"""Experiments: a claim about pods, the steps that try it, and what must come out; read from files and played."""
