"""The networks: sparse U-Net, heads, student."""
