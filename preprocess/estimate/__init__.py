"""Estimate what a run costs by processing samples of it."""
