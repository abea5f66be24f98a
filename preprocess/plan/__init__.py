"""Plan a cache: which sequences, how each is cut into windows and blocks, what its results depend on."""
