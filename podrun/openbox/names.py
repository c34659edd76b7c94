"""Names in timelines that both who makes them and who draws them know."""

EXEC = "exec beside it"
"""A probe's command, or somebody's, in a container that runs."""
