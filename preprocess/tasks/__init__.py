"""The tasks of one sequence, as Dask runs them."""
