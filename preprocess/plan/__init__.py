"""Plan a cache: which sequences, how each is cut, what its results depend on."""
