"""From the cache to the network's input: sample order, augmentation, voxels, loader."""
