"""Boxes around groups, found without labels: one size for each group through the sequence."""
