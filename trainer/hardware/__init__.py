"""The hardware of a run: device, precision, engine, and processes."""
