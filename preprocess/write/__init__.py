"""Write finished blocks to the cache."""
