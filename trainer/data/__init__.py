"""From the cache to a batch: pairs of sweeps, views, crops, voxels."""
