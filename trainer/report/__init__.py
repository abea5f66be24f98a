"""One HTML page on a run."""
