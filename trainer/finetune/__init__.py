"""Fine-tuning with few labels: semantic segmentation on the encoder that was pre-trained, or from scratch."""
