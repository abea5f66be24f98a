"""Second pass: what is stored about groups, and the occupancy queries around them."""
