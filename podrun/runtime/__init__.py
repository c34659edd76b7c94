"""Sandboxes and containers in CRI terms, made of spawner requests, cgroups and networks."""
