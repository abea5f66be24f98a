"""Labels of a few sweeps for all sweeps of their sequences: by position for what stands, by group for what moves."""
