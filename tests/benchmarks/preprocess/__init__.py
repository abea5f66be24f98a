"""Benchmarks of preprocessing."""
