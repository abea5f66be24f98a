"""The training loop of all tasks, and the run folder: configuration, log, checkpoint, weights."""
