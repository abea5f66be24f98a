"""Estimate the cost of a run by processing samples of it."""
