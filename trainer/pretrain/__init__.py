"""Pre-training: methods, their samples and losses, and the learner that the training loop runs."""
