"""Where labels and groups disagree: likely label errors, the worst first."""
