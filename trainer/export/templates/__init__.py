"""Files that an export puts beside the weights, for code bases without our architecture. They need spconv."""
