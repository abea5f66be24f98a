"""What features are worth on streets never seen: scores of a segmentation, probes and clusters without fine-tuning."""
