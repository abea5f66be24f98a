"""What a run computes on: device, precision, engine, and the processes that share the work."""
