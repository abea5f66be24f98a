"""Files that are exported with the weights, for code bases without our architecture. They need spconv."""
