"""Data sets: one small module each, found by its name."""
