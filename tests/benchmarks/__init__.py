"""Benchmarks of this package, next to other methods and to what the machine could do at best: make bench."""
