"""Procedural LiDAR data: streets, a sensor, and its sweeps in the layout of SemanticKITTI."""
