"""Poses: from files that are passed, or computed from the sweeps alone."""
