"""Ground patches as further regions, so that features of the ground are learnt, too.

Groups leave out the ground: no loss would depend on road, pavement or grass, a quarter of the classes that matter
later. A patch is the same place in both sweeps. Patches are contrasted with the groups, but not with each other: one
piece of road is no different from the next.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import GROUND
from iscc_lidar.shared.base.config import check_ranges, option
from iscc_lidar.trainer.data.augment import View, apply_affine
from iscc_lidar.trainer.data.voxelize import shared_groups
from iscc_lidar.trainer.pretrain.samples.cells import number_cells
from iscc_lidar.trainer.pretrain.samples.regions import Pair, Regions

# N1, N2 points of the views, K regions


@dataclass(frozen=True)
class GroundPatchConfig:
    """Which ground patches take part."""

    count: int = option(
        24,
        "ground patches that are regions besides the groups, drawn at random; 0 none [ours]",
        at_least=0,
        at_most=10**6,
    )
    edge_m: float = option(2.0, "edge of a patch, seen from above, metres [ours]", at_least=0.01, at_most=1000)
    max_range_m: float = option(
        25.0,
        "ground farther than this from its sensor, seen from above, is left out: few points, metres [ours]",
        at_least=0.01,
        at_most=1000,
    )

    def __post_init__(self) -> None:
        check_ranges(self, "ground_patches")


def add_ground_patches(
    groups: Regions, pair: Pair, min_points: int, config: GroundPatchConfig, rng: np.random.Generator
) -> Regions:
    """Draw patches with more than ``min_points`` points of the ground in both views, and append them to the groups.

    Args:
        groups: of the pair, labelled as in the cache.
        pair: the views.
        min_points: a patch has more points in each view.
        config: number, size and range.
        rng: draws patches and the position of the grid.
    """
    if config.count == 0:
        return groups
    rows1, xy1 = _ground(pair.view1, config.max_range_m, np.eye(4))
    rows2, xy2 = _ground(pair.view2, config.max_range_m, pair.sensor1_SE3_sensor2)
    number1, number2 = number_cells(xy1, xy2, rng.random(2) * config.edge_m, config.edge_m)
    shared = shared_groups(number1, number2, min_points)
    first = 1 + max(int(label.max(initial=-1)) for label in (groups.label1, groups.label2))
    drawn = first + np.sort(rng.permutation(shared)[: config.count])
    return Regions(
        _labelled(groups.label1, rows1, first + number1),
        _labelled(groups.label2, rows2, first + number2),
        np.concatenate([groups.ids, drawn.astype(np.int32)]),
        np.concatenate([groups.ground, np.ones(len(drawn), np.bool_)]),
    )


def _ground(
    view: View, max_range_m: float, sensor1_SE3_sensor: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find a view's points on the ground: rows, and their x and y in the frame of the first view's sensor."""
    rows = np.flatnonzero(view.label == GROUND)
    sensor_T_view = np.linalg.inv(view.view_T_sensor).astype(np.float64)
    xyz = apply_affine(sensor_T_view, view.xyz[rows])
    columns = np.ascontiguousarray(xyz[:, :2].T)  # numpy sums long rows several times as fast as short ones
    near = np.flatnonzero(np.linalg.norm(columns, axis=0) <= max_range_m)
    return rows[near], apply_affine(sensor1_SE3_sensor, xyz.take(near, axis=0))[:, :2]


def _labelled(label: NDArray[np.int32], rows: NDArray[np.int64], region: NDArray[np.int32]) -> NDArray[np.int32]:
    changed = label.copy()
    changed[rows] = region
    return changed
