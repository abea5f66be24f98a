"""What a pre-training run has learnt, as one HTML page."""
