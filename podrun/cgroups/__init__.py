"""Control groups of pods: v2, v1 and both at once, decided per controller."""
