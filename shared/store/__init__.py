"""The folder of a cache, local or in an object store, in which files appear complete; claims on it."""
