"""Where a cache lies: a folder on this machine, or one in an object store. What is read there is whole."""
