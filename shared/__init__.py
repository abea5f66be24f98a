"""Used by preprocessing and training: the cache, its storage, datasets' layouts, configuration, errors."""
