"""What ``iscc-train bench`` and ``bench-engines`` measure."""
