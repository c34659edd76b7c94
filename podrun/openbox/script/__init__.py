"""A pod as a shell script that builds it by hand: the plan that podrun carries out, put into commands anybody has."""
