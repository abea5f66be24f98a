"""Finishing pass: what is stored about groups, and the occupancy queries near them."""
