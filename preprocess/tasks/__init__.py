"""The tasks of one sequence, which Dask runs."""
