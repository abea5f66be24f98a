"""Read a cache: blocks, sweeps, verification, lists of sweeps, a picture."""
