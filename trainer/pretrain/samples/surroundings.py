"""Surroundings of a view's voxels: which cells around them are occupied, at several scales.

A voxel that can tell them knows the shape that it is a part of, and what stands around. All points count, those in
masked balls too. As NOMAE (Abdelsamad et al., CVPR 2025) has it, whose decoder and masks are others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.config import check_ranges, option
from iscc_lidar.trainer.data.voxelize import Voxels, has_points
from iscc_lidar.trainer.pretrain.samples.occupancy_queries import line_of_sight

# N points, V voxels, S drawn voxels, C cells around each

_LONGEST: Final = 8


@dataclass(frozen=True)
class SurroundingsConfig:
    """Whose surroundings are predicted, and how far these reach."""

    voxels: int = option(512, "voxels of a sweep whose surroundings are predicted", at_least=1, at_most=10**6)
    edges_m: tuple[float, ...] = option(
        (0.2, 0.4, 0.8, 1.6), "edges of the cells, metres; one block of cells for each", above=0, at_most=1000
    )
    reach: int = option(2, "cells to each side: a block has (2 reach + 1) ** 3", at_least=1, at_most=5)
    hidden: int = option(128, "width of the decoder", at_least=1, at_most=4096)

    def __post_init__(self) -> None:
        check_ranges(self, "surroundings")
        if not 1 <= len(self.edges_m) <= _LONGEST:
            raise ValueError(f"surroundings.edges_m: expected 1 to {_LONGEST} values, not {len(self.edges_m)}")

    @property
    def cells(self) -> int:
        """Number of cells around a voxel, C."""
        return len(self.edges_m) * (2 * self.reach + 1) ** 3


@dataclass(frozen=True)
class Surroundings:
    """Cells around some voxels.

    Attributes:
        voxel: int64 [S], ascending, rows of the view's voxels.
        occupied: bool [S, C], whether a point lies in each cell; block by block, the last axis, z, fastest.
    """

    voxel: NDArray[np.int64]
    occupied: NDArray[np.bool_]


NO_SURROUNDINGS: Final = Surroundings(np.zeros(0, np.int64), np.zeros((0, 0), np.bool_))


def draw_surroundings(
    voxels: Voxels, xyz: NDArray[np.float32], config: SurroundingsConfig, rng: np.random.Generator
) -> Surroundings:
    """Draw voxels, and find the cells around them that are occupied.

    The axes of a block are those of the line of sight, so that in front of and behind a surface differ. A cell counts
    as occupied if the cell of the grid that its centre is in has a point.

    Args:
        voxels: the visible ones of the view.
        xyz: float32 [N, 3], all points of the view, metres.
        config: number and scales.
        rng: draws voxels.
    """
    row = np.sort(rng.permutation(len(voxels.xyz))[: config.voxels])
    step = np.arange(-config.reach, config.reach + 1, dtype=np.float32)
    offset = np.stack([axis.reshape(-1) for axis in np.meshgrid(step, step, step, indexing="ij")])
    x, y, z = voxels.xyz[row].T
    ahead_x, ahead_y = line_of_sight(voxels.xyz[row])[..., None]
    turned = (offset[0] * ahead_x - offset[1] * ahead_y, offset[0] * ahead_y + offset[1] * ahead_x, offset[2][None])
    columns = np.ascontiguousarray(xyz.T)
    blocks = []
    for edge in config.edges_m:
        places = [at[:, None] + np.float32(edge) * axis for at, axis in zip((x, y, z), turned, strict=True)]
        found = has_points(columns, np.stack(places).reshape(3, -1), edge)
        blocks.append(found.reshape(len(row), len(offset[0])))
    return Surroundings(row, np.concatenate(blocks, axis=1))
