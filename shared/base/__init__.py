"""Errors, files, configuration, geometry, pictures: for all other parts."""
