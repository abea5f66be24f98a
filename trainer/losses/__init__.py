"""Losses of the ISCC step: global clustering, local contrast, occupancy."""
