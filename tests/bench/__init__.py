"""What podrun costs, beside its peers in the same run: times move from machine to machine, ratios do not."""
