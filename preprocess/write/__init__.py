"""Write finished blocks."""
