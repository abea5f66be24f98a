"""Networks: the encoder, and the heads that pre-training puts on it."""
