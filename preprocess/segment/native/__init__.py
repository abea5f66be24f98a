"""What segmenting does in C, where installing could compile it."""
