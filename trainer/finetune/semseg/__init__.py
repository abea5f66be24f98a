"""Semantic segmentation: a class for every point."""
