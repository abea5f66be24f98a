"""The backbone, a sparse U-Net."""
