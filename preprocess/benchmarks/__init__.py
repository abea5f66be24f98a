"""Measurements of the offline stage, each beside its opponents in the same run."""
