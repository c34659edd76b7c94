"""Faults and hostile input in great numbers, with seeds that reproduce a failure: `scripts/torture`."""
