"""What frozen features are worth: linear probe and occupancy, on streets never seen."""
