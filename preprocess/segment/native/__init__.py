"""C code of the segmentation, compiled at installation if there is a compiler."""
