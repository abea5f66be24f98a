"""Predicted classes of points in the layouts of the data sets' own benchmarks."""
