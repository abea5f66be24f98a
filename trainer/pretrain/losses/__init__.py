"""Losses of the methods, and what they remember: prototypes, a queue."""
