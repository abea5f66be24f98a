"""Scores on unseen sequences: of segmentation and detection, and of frozen features without fine-tuning."""
