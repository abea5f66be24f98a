"""What the offline stage and the trainer have in common: reading the cache, configuration, errors."""
