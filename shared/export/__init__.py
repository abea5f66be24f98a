"""Group labels, written as other programs read them: one module for each target."""
