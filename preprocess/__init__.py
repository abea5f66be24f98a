"""Offline stage: raw sweeps in, a cache of point groups and occupancy queries out."""
