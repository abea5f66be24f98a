"""Voxels that look like those of sweeps, for tests and benchmarks of the sparse engines."""

import torch
from torch import Tensor


def synthetic_voxels(n_sweeps: int = 2, voxels_per_sweep: int = 30_000, seed: int = 0) -> Tensor:
    """Make sorted voxels int32 [N, 4] of wavy ground with boxes on it: surfaces, denser near the middle.

    A sweep keeps the ``voxels_per_sweep`` (at most about 40 k) nearest the middle.
    """
    generator = torch.Generator().manual_seed(seed)
    sweeps = []
    for sweep in range(n_sweeps):
        n = 6 * voxels_per_sweep
        radius = 250 * torch.rand(n, generator=generator)
        angle = 2 * torch.pi * torch.rand(n, generator=generator)
        x, y = radius * angle.cos() + 256, radius * angle.sin() + 256
        ground = 4 + 2 * torch.sin(x / 40)
        on_box = (x % 48 < 20) & (y % 32 < 9)
        edge = on_box & ((x % 48 < 1.5) | (y % 32 < 1.5))
        height = torch.where(edge, 9 * torch.rand(n, generator=generator), torch.where(on_box, 9.0, 0.0))
        xyz = torch.stack([x, y, ground + height], dim=1).int()
        cells = torch.unique(xyz, dim=0)
        from_middle = (cells[:, :2] - 256).square().sum(1)
        keep = torch.argsort(from_middle, stable=True)[:voxels_per_sweep].sort().values
        batch = torch.full((len(keep), 1), sweep, dtype=torch.int32)
        sweeps.append(torch.cat([batch, cells[keep]], dim=1))
    return torch.cat(sweeps)
