"""Run the tasks of a plan, in this process or on Dask, and write the manifest."""
