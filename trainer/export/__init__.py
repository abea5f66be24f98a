"""Pre-trained weights for the places where people fine-tune: one module per target, see docs/export.md."""
