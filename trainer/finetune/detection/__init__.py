"""3-D detection of cars, pedestrians and cyclists."""
