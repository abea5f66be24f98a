"""Occupied voxels of one resolution: rows (batch, x, y, z), sorted and unique, with one int64 key each.

A key is the cell's index in a grid that is one cell larger than the data on every side, so that a step to any
neighbour adds the same constant to every key, and a step off the grid reaches an empty cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from iscc_lidar.shared.base.errors import UserError

# N voxels; a row is (batch, x, y, z)
_MAX_KEY = 2**63 - 1


@dataclass(frozen=True)
class Coordinates:
    """Sorted, unique voxels of one resolution.

    Attributes:
        bxyz: int32 [N, 4], batch index and cell of this resolution, all >= 0.
        keys: int64 [N], strictly increasing.
        largest: the largest (batch, x, y, z) of the grid.
    """

    bxyz: Tensor
    keys: Tensor
    largest: tuple[int, int, int, int]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def key_steps(self) -> tuple[int, int]:
        """Increments of a key for one step along x and along y; along z it is 1."""
        _, _, y, z = self.largest
        return (y + 3) * (z + 3), z + 3


def sorted_coordinates(bxyz: Tensor) -> Coordinates:
    """Index voxels that are already sorted by (batch, x, y, z) and unique.

    Args:
        bxyz: int32 [N, 4] with N >= 1, no value negative.

    Raises:
        ValueError: not int32 [N, 4], empty, negative, unsorted or repeated.
        UserError: the grid has too many cells for int64 indices.
    """
    largest = _largest(bxyz)
    keys = _keys(bxyz, largest)
    if bool((keys[1:] <= keys[:-1]).any()):
        raise ValueError("voxels must be unique and sorted by (batch, x, y, z)")
    return Coordinates(bxyz, keys, largest)


def sort_order(bxyz: Tensor) -> Tensor:
    """Return the order int64 [N] that sorts voxels int32 [N, 4] by (batch, x, y, z). Raises like sorted_coordinates."""
    return torch.argsort(_keys(bxyz, _largest(bxyz)))


def coarsen(fine: Coordinates) -> tuple[Coordinates, Tensor]:
    """Halve the resolution: return the coarse voxels, and the row among them of each fine voxel's parent, int64 [N]."""
    b, x, y, z = fine.largest
    largest = (b, x // 2, y // 2, z // 2)
    parents = torch.cat([fine.bxyz[:, :1], fine.bxyz[:, 1:] >> 1], dim=1)
    keys, parent_row = torch.unique(_keys(parents, largest), return_inverse=True)
    bxyz = torch.empty((len(keys), 4), dtype=torch.int32, device=keys.device)
    bxyz[parent_row] = parents  # children of one parent write the same four numbers
    return Coordinates(bxyz, keys, largest), parent_row


def _largest(bxyz: Tensor) -> tuple[int, int, int, int]:
    if bxyz.dtype != torch.int32 or bxyz.ndim != 2 or bxyz.shape[1] != 4:
        raise ValueError(f"voxels must be int32 [N, 4], not {bxyz.dtype} {list(bxyz.shape)}")
    if len(bxyz) == 0:
        raise ValueError("a sparse tensor needs at least one voxel; the batch is empty")
    low, high = torch.stack([bxyz.amin(0), bxyz.amax(0)]).tolist()  # one transfer from the device
    if min(low) < 0:
        raise ValueError(f"voxels must be >= 0, but the smallest (batch, x, y, z) is {tuple(low)}")
    b, x, y, z = high
    if (b + 1) * (x + 3) * (y + 3) * (z + 3) > _MAX_KEY:
        raise UserError(
            f"a grid of {b + 1} samples x {x + 1} x {y + 1} x {z + 1} voxels has too many cells for 64-bit indices: "
            "crop the points to a range or choose a larger model.voxel_size"
        )
    return b, x, y, z


def _keys(bxyz: Tensor, largest: tuple[int, int, int, int]) -> Tensor:
    _, x_max, y_max, z_max = largest
    b, x, y, z = bxyz.long().unbind(1)
    return ((b * (x_max + 3) + x + 1) * (y_max + 3) + y + 1) * (z_max + 3) + z + 1
