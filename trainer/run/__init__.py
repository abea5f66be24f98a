"""What every kind of training run shares: its folder, log, resume file, stop signals, schedule."""
