"""Files of one sweep's points, each format as columns by name."""
