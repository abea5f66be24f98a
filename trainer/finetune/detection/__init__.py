"""3-D detection: boxes around cars, pedestrians and cyclists."""
