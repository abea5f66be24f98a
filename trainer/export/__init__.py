"""Pre-trained weights for the places where people fine-tune: one module a target, see docs/export.md."""
