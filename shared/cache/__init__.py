"""Read a cache: blocks, sweeps, verification, lists of sweeps, pictures."""
