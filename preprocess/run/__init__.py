"""Run the tasks of a plan, here or on Dask, and write the manifest."""
