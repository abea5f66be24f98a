"""Self-supervised pre-training for LiDAR by Implicit Surface Contrastive Clustering (ISCC).

Data goes one way: ``preprocess`` turns raw sweeps into a cache of group labels and occupancy
queries, ``data_schemas`` says what that cache looks like, ``shared`` reads it, ``trainer`` learns
an encoder from it. ``preprocess`` and ``trainer`` never import each other.
"""

__version__ = "0.1.0"
