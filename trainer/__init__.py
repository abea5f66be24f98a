"""Training stage: a cache in, a pre-trained sparse-voxel encoder out."""
