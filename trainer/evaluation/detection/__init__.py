"""Scores of detected boxes by KITTI's rules."""
