"""The open box: a pod's timeline, why it is in its state, its script, and knobs to experiment with while it lives."""
