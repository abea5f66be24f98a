"""Segmentation pass: ground removal, clustering of windows into groups, linking of ids over the sequence."""
