"""Dataset adapters: one module per dataset, found by its name."""
