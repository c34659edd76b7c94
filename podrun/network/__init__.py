"""Addresses, links, routes, rules and names for pods on one machine."""
