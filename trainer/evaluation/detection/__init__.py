"""Scores of detected boxes by KITTI's own rules."""
