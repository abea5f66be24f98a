"""Training samples of pre-training: pairs of views, regions and occupancy queries."""
