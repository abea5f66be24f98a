"""The procedural LiDAR world: streets, a sensor, and SemanticKITTI files of what it sees."""
