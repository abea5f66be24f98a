"""How things move from sweep to sweep, found by a vote, and what can be seen once they are moved back.

Each pair of cells that are seen some sweeps apart votes for its displacement; those of one thing agree. Moved back by
it, the sweeps show the thing in one place, as if it stood.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.segment.voxels import voxelize

_CELL_M: Final = 0.25
_PLACE_M: Final = 0.08
_LAG: Final = 3
"""Sweeps between the two cells of a vote; a displacement is known to a cell, a third of it from sweep to sweep."""
_LEAST_VOTERS: Final = 0.1
_FASTEST_M: Final = 3.5
"""Per sweep; 35 m/s at ten sweeps per second."""
_VOTERS: Final = 100
"""Cells of a sweep that vote, at most."""
_LEAST_SHIFT_M: Final = 0.5
_LEAST_STEP_M: Final = 0.04
_STANDS: Final = 0.6
"""A cell that so many of the sweeps see is of something that stands, and does not vote."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MovingGroups:
    """Groups that move as one.

    Attributes:
        group: int32 [N], dense ids from 0, -1 for noise.
        velocity: float64 [groups, 2], metres per sweep along x and y; 0 for what stands.
    """

    group: NDArray[np.int32]
    velocity: Array


def moved_back(xyz: Array, sweep: NDArray[np.integer], moving: MovingGroups) -> Array:
    """Move the points of each group to where they are in the middle of the window, float64 [N, 3], metres."""
    if len(moving.velocity) == 0:
        return xyz
    back = xyz.copy()
    moves = np.flatnonzero((moving.velocity != 0).any(axis=1)[moving.group])
    back[moves] = undone(xyz[moves], from_middle(sweep)[moves], moving.velocity[moving.group[moves]])
    return back


def undone(xyz: Array, time: NDArray[np.integer], step: Array) -> Array:
    """Move points [n, 2 or 3] back by their steps, [2] or [n, 2] metres per sweep, to where they are at time 0."""
    back = xyz.copy()
    back[:, :2] -= time[:, None] * step
    return back


def fits_step(xy: Array, time: NDArray[np.integer], step: Array) -> NDArray[np.bool_]:
    """Return which points more sweeps see in the same place if they are moved back by a step, [n]."""
    return sweeps_seen(undone(xy, time, step), time) > sweeps_seen(xy, time)


def from_middle(sweep: NDArray[np.integer]) -> NDArray[np.integer]:
    """Count sweeps from the middle of the window, [N]."""
    return sweep - (int(sweep.max(initial=0)) + 1) // 2


def places_of(xyz: Array, time: NDArray[np.integer]) -> tuple[Array, NDArray[np.int64], NDArray[np.int64]]:
    """Return the small cells that each sweep sees from above: their middles, their sweeps, and each point's row."""
    cell = np.floor(xyz[:, :2] / _PLACE_M).astype(np.int64)
    low = cell.min(axis=0)
    rows, columns = (cell.max(axis=0) - low + 1).tolist()
    first = int(time.min())
    key = ((time - first) * rows + cell[:, 0] - low[0]) * columns + cell[:, 1] - low[1]
    found, row = np.unique(key, return_inverse=True)
    when, at = np.divmod(found, rows * columns)
    return (np.stack(np.divmod(at, columns), axis=1) + low + 0.5) * _PLACE_M, when + first, row


def common_step(xy: Array, time: NDArray[np.integer]) -> Array:
    """Return how most of what does not stand moves from sweep to sweep, metres [2]; 0 if it hardly does."""
    sweeps = np.count_nonzero(np.bincount(time - time.min()))
    voters = sweeps_seen(xy, time, around=False) < _STANDS * sweeps
    if np.count_nonzero(voters) < _LEAST_VOTERS * len(voters):
        return np.zeros(2)
    step = _vote(xy[voters], time[voters])
    length = float(np.hypot(*step))
    return step if length >= _LEAST_STEP_M and length * np.ptp(time) >= _LEAST_SHIFT_M else np.zeros(2)


def _vote(xy: Array, time: NDArray[np.integer]) -> Array:
    """Return the displacement per sweep with most votes, metres [2]: coarse by few sweeps apart, fine by many."""
    cell = np.floor(xy / _CELL_M).astype(np.int64)
    cell -= cell.min(axis=0)
    first, sweeps = int(time.min()), int(np.ptp(time)) + 1
    rows, columns = (cell.max(axis=0) + 1).tolist()
    key = np.unique(((time - first) * rows + cell[:, 0]) * columns + cell[:, 1])
    bounds = np.searchsorted(key, np.arange(sweeps + 1) * rows * columns)
    voters = (key[a:b][:: 1 + (b - a) // _VOTERS] for a, b in itertools.pairwise(bounds))
    by_sweep = [np.stack(np.divmod(own % (rows * columns), columns)).astype(np.int32) for own in voters]
    step = _most_voted(by_sweep, _LAG, np.zeros(2), _FASTEST_M)
    for lag in (_LAG * 2, _LAG * 3):
        if lag < len(by_sweep):
            step = _most_voted(by_sweep, lag, step, 1.5 * _CELL_M / _LAG)
    return step


def _most_voted(by_sweep: list[NDArray[np.int32]], lag: int, about: Array, reach_m: float) -> Array:
    """Return the displacement per sweep with most votes of cells ``lag`` sweeps apart, near ``about``, metres [2].

    The cells of each sweep are int32 [2, n].
    """
    from scipy.ndimage import uniform_filter

    centre = np.rint(about * lag / _CELL_M).astype(np.int32)
    reach = int(np.ceil(reach_m * lag / _CELL_M))
    side = 2 * reach + 1
    votes = np.zeros(side * side, dtype=np.int64)
    for before, after in zip(by_sweep, by_sweep[lag:], strict=False):
        row, column = after[:, None, :] - (before + centre[:, None] - reach)[:, :, None]
        inside = (row.view(np.uint32) < side) & (column.view(np.uint32) < side)  # a negative one is a large one
        votes += np.bincount(row[inside] * side + column[inside], minlength=side * side)
    table = votes.reshape(side, side).astype(np.float64)
    row, column = np.unravel_index(int(uniform_filter(table, 3, mode="constant").argmax()), table.shape)
    rows, columns = (np.arange(max(at - 1, 0), min(at + 2, side)) for at in (int(row), int(column)))
    around = table[np.ix_(rows, columns)]
    if around.sum() == 0:
        return about
    middle = np.array([(around.sum(axis=1) * rows).sum(), (around.sum(axis=0) * columns).sum()]) / around.sum()
    step: Array = (middle - reach + centre) * (_CELL_M / lag)
    return step


def sweeps_seen(xy: Array, time: NDArray[np.integer], around: bool = True) -> NDArray[np.int64]:
    """Count the sweeps that see something in each point's cell, or also in the eight around it, [n]."""
    cell, width = _cells(xy)
    key, row = np.unique(cell, return_inverse=True)
    when = time - time.min()
    seen = np.zeros((len(key), int(when.max()) + 1), dtype=np.bool_)
    seen[row, when] = True
    total = seen.copy()
    for jump in (-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1) if around else ():
        at = np.minimum(np.searchsorted(key, key + jump), len(key) - 1)
        there = key[at] == key + jump
        total[there] |= seen[at[there]]
    counts: NDArray[np.int64] = total.sum(axis=1)[row]
    return counts


def cells_filled(xy: Array) -> int:
    """Count the cells, seen from above, in which there is something."""
    return len(np.unique(_cells(xy)[0])) if len(xy) else 0


def _cells(xy: Array) -> tuple[NDArray[np.int64], int]:
    """Return the key of each cell, [n], and its growth from row to row, so large that rows do not touch."""
    cell = np.floor(xy / _CELL_M).astype(np.int64)
    cell -= cell.min(axis=0) - 1
    width = int(cell[:, 1].max()) + 2
    return cell[:, 0] * width + cell[:, 1], width


def apart(xyz: Array, apart_m: float, voxel_size_m: float | None = None) -> NDArray[np.int64]:
    """Find the parts between which there are gaps wider than ``apart_m``, [n], to a voxel: a third of it, or given."""
    from scipy.sparse import coo_matrix, csgraph
    from scipy.spatial import cKDTree

    voxel_xyz, voxel = voxelize(xyz, voxel_size_m or apart_m / 3)
    pairs = cKDTree(voxel_xyz).query_pairs(apart_m, output_type="ndarray")
    graph = coo_matrix((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(len(voxel_xyz),) * 2)
    label: NDArray[np.int64] = csgraph.connected_components(graph, directed=False)[1][voxel]
    return label
