"""What happened to each pod, as it happened: marks that every room leaves with one line, at next to no cost."""
