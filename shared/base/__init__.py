"""What everything rests on: errors, files, configuration, geometry, pictures."""
