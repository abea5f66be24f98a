"""Fine-tuning with few labels, of a pre-trained backbone or from scratch."""
