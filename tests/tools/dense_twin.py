"""Slow and dense references for the sparse engine, and voxel sets to compare on."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import conv3d, conv_transpose3d

# B samples, X, Y, Z cells, C channels


def random_voxels(seed: int, batch: int = 2, size: tuple[int, int, int] = (7, 6, 5), fill: float = 0.3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    occupied = torch.rand((batch, *size), generator=generator) < fill
    occupied[-1, -1, -1, -1] = True
    return occupied.nonzero().int()


@st.composite
def voxel_sets(draw: st.DrawFn) -> Tensor:
    """Sorted unique voxels, from a single one up; some batch indices may hold none."""
    cell = st.integers(0, 6)
    rows = draw(st.sets(st.tuples(st.integers(0, 3), cell, cell, cell), min_size=1, max_size=60))
    return torch.tensor(sorted(rows), dtype=torch.int32)


def densify(bxyz: Tensor, feats: Tensor) -> Tensor:
    """[B, C, X, Y, Z] with even X, Y, Z, zero where there is no voxel."""
    b, x, y, z = (int(v) + 1 for v in bxyz.amax(0))
    dense = feats.new_zeros((b, x + x % 2, y + y % 2, z + z % 2, feats.shape[1]))
    dense = dense.index_put(tuple(bxyz.long().unbind(1)), feats)
    return dense.permute(0, 4, 1, 2, 3)


def at(dense: Tensor, bxyz: Tensor) -> Tensor:
    """Rows [N, C] of a dense grid [B, C, X, Y, Z]."""
    b, x, y, z = bxyz.long().unbind(1)
    return dense.permute(0, 2, 3, 4, 1)[b, x, y, z]


def submanifold(bxyz: Tensor, feats: Tensor, kernel: Tensor) -> Tensor:
    c_in, c_out = kernel.shape[1:]
    # Offset index (dx+1) + 3 (dy+1) + 9 (dz+1): z is the slowest.
    weight = kernel.reshape(3, 3, 3, c_in, c_out).permute(4, 3, 2, 1, 0)
    return at(conv3d(densify(bxyz, feats), weight, padding=1), bxyz)


def strided(bxyz: Tensor, feats: Tensor, kernel: Tensor, coarse: Tensor) -> Tensor:
    c_in, c_out = kernel.shape[1:]
    weight = kernel.reshape(2, 2, 2, c_in, c_out).permute(4, 3, 0, 1, 2)
    return at(conv3d(densify(bxyz, feats), weight, stride=2), coarse)


def transposed(coarse: Tensor, feats: Tensor, kernel: Tensor, fine: Tensor) -> Tensor:
    c_in, c_out = kernel.shape[1:]
    weight = kernel.reshape(2, 2, 2, c_in, c_out).permute(3, 4, 0, 1, 2)
    return at(conv_transpose3d(densify(coarse, feats), weight, stride=2), fine)


def parents(bxyz: Tensor) -> Tensor:
    return torch.tensor(sorted({(b, x // 2, y // 2, z // 2) for b, x, y, z in bxyz.tolist()}), dtype=torch.int32)


def submanifold_pairs(bxyz: Tensor) -> set[tuple[int, int, int]]:
    """(offset index, input row, output row) without the centre, by dictionary."""
    row = {tuple(v): i for i, v in enumerate(bxyz.tolist())}
    pairs = set()
    for (b, x, y, z), out in row.items():
        for index in range(27):
            dx, dy, dz = index % 3 - 1, index // 3 % 3 - 1, index // 9 - 1
            source = row.get((b, x + dx, y + dy, z + dz))
            if index != 13 and source is not None:
                pairs.add((index, source, out))
    return pairs


def downsampling_pairs(bxyz: Tensor) -> set[tuple[int, int, int]]:
    row = {tuple(v): i for i, v in enumerate(parents(bxyz).tolist())}
    return {
        (z % 2 + 2 * (y % 2) + 4 * (x % 2), i, row[b, x // 2, y // 2, z // 2])
        for i, (b, x, y, z) in enumerate(bxyz.tolist())
    }
