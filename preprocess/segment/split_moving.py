"""Separate things that move differently: in a stack a rider runs into the trail of the car before him.

How far the points of a group move from sweep to sweep is found by a vote: each pair of cells that are seen some sweeps
apart votes for its displacement, and those of one thing agree. What fits the winner better than standing still is
moved back to where it was in the middle of the window; there the sweeps show one thing once, as if it stood, and two
things that move together are apart. What does not fit is voted on again, and at last stands still.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.segment.motion import MotionConfig, drifts
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
_LEAST_DRIFT_M: Final = 0.25
_LEAST_SHIFT_M: Final = 0.5
_LEAST_STEP_M: Final = 0.04
_WIDEST_M: Final = 20.0
_LEAST_POINTS: Final = 20
_LAYERS: Final = 4
_STANDS: Final = 0.6
"""A cell that so many of the sweeps see is of something that stands, and does not vote."""
_LESS: Final = 0.75
"""Moved back, the points must fill less than this share of the cells that they fill as they are."""
_ALL_ONE: Final = 1.15
"""All points belong to the winner if they fill no more than so many times the cells of those that fit it."""
_ALIKE_M: Final = 0.1
_ALIKE: Final = 0.25
"""Two displacements are one if they differ by less than this share."""
_APART_M: Final = 0.3
_APART_BY_RANGE: Final = 0.015
_LEAST_SHARE: Final = 0.08
_METRES_PER_SWEEP: Final = 1.0
"""Weight of time in the distance from stray points to the nearest part."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MovingSplit:
    """Groups that move as one.

    Attributes:
        group: int32 [N], dense ids from 0, -1 for noise.
        velocity: float64 [groups, 2], metres per sweep along x and y; 0 for what stands.
    """

    group: NDArray[np.int32]
    velocity: Array


def moved_back(xyz: Array, sweep: NDArray[np.integer], split: MovingSplit) -> Array:
    """Move the points of each group to where they are in the middle of the window, float64 [N, 3], metres."""
    if len(split.velocity) == 0:
        return xyz
    back = xyz.copy()
    back[:, :2] -= _from_middle(sweep)[:, None] * split.velocity[split.group]
    return back


def _from_middle(sweep: NDArray[np.integer]) -> NDArray[np.integer]:
    return sweep - (int(sweep.max(initial=0)) + 1) // 2


def split_moving(xyz: Array, sweep: NDArray[np.integer], range_m: Array, group: NDArray[np.int32]) -> MovingSplit:
    """Split groups into what moves alike.

    Args:
        xyz: float64 [N, 3], metres, a frame that is fixed during the window.
        sweep: int [N], index within the window.
        range_m: float64 [N], metres from the sensor: farther points are farther apart.
        group: int32 [N], dense ids from 0, -1 for noise.

    Returns:
        the groups, with new ids for all but the largest part of a split one; and how each moves.
    """
    groups = int(group.max(initial=-1)) + 1
    velocity = [np.zeros((groups, 2))]
    found = group.copy()
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(groups + 1))
    time = _from_middle(sweep)
    for one in _candidates(xyz, sweep, group).tolist():
        members = order[starts[one] : starts[one + 1]]
        places, when, row = _places(xyz[members], time[members])
        layer, steps = _layers(places, when)
        if len(steps) == 1:
            continue
        part, moves = _parts(xyz[members], time[members], range_m[members], layer[row], steps)
        largest = int(np.bincount(part).argmax())
        used = sum(len(rows) for rows in velocity)
        ids = np.where(np.arange(len(moves)) > largest, -1, 0) + used + np.arange(len(moves))
        ids[largest] = one
        found[members] = ids[part]
        velocity[0][one] = moves[largest]
        velocity.append(np.delete(moves, largest, axis=0))
    return MovingSplit(found, np.concatenate(velocity))


def _candidates(xyz: Array, sweep: NDArray[np.integer], group: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the groups that shift or spread, and are not too wide or small."""
    drift, width = drifts(xyz, sweep, group, MotionConfig())
    size = np.bincount(group[group >= 0], minlength=len(drift))
    return np.flatnonzero((drift >= _LEAST_DRIFT_M) & (width <= _WIDEST_M) & (size >= 2 * _LEAST_POINTS))


def _places(xyz: Array, time: NDArray[np.integer]) -> tuple[Array, NDArray[np.int64], NDArray[np.int64]]:
    """Return the small cells that each sweep sees from above: their middles, their sweeps, and each point's row."""
    cell = np.floor(xyz[:, :2] / _PLACE_M).astype(np.int64)
    low = cell.min(axis=0)
    rows, columns = (cell.max(axis=0) - low + 1).tolist()
    first = int(time.min())
    key = ((time - first) * rows + cell[:, 0] - low[0]) * columns + cell[:, 1] - low[1]
    found, row = np.unique(key, return_inverse=True)
    when, at = np.divmod(found, rows * columns)
    return (np.stack(np.divmod(at, columns), axis=1) + low + 0.5) * _PLACE_M, when + first, row


def _layers(xy: Array, time: NDArray[np.integer]) -> tuple[NDArray[np.int64], Array]:
    """Assign each point to a displacement per sweep, [n]; and these, [layers, 2] metres. The first one is 0."""
    layer, steps = np.zeros(len(xy), dtype=np.int64), [np.zeros(2)]
    rest = np.arange(len(xy))
    while len(steps) <= _LAYERS and len(rest) >= _LEAST_POINTS:
        here, when = xy[rest], time[rest]
        step = _step(here, when)
        if not step.any():
            break
        fits = _sweeps_seen(here - when[:, None] * step, when) > _sweeps_seen(here, when)
        if np.count_nonzero(fits) < _LEAST_POINTS:
            break
        if np.count_nonzero(~fits) < max(_LEAST_POINTS, 0.1 * len(rest)):
            fits[:] = True
        number = _alike(step, steps)
        layer[rest[fits]] = number
        if number == len(steps):
            steps.append(step)
        rest = rest[~fits]
    return _fewest(xy, time, layer, np.array(steps))


def _step(xy: Array, time: NDArray[np.integer]) -> Array:
    """Return how most of what does not stand moves from sweep to sweep, metres [2]; 0 if it hardly does."""
    voters = _sweeps_seen(xy, time, around=False) < _STANDS * len(np.unique(time))
    if np.count_nonzero(voters) < _LEAST_VOTERS * len(voters):
        return np.zeros(2)
    step = _vote(xy[voters], time[voters])
    length = float(np.hypot(*step))
    return step if length >= _LEAST_STEP_M and length * np.ptp(time) >= _LEAST_SHIFT_M else np.zeros(2)


def _alike(step: Array, steps: list[Array]) -> int:
    """Return the index of the step that one is about the same as: what gets faster has several. Else the next index."""
    for index, other in enumerate(steps[1:], start=1):
        if np.hypot(*(step - other)) < max(_ALIKE_M, _ALIKE * float(np.hypot(*other))):
            return index
    return len(steps)


def _fewest(
    xy: Array, time: NDArray[np.integer], layer: NDArray[np.int64], steps: Array
) -> tuple[NDArray[np.int64], Array]:
    """Keep the layers only if they fill fewer cells than what stands would, or only the first if it alone does."""
    stands = np.zeros(len(xy), dtype=np.int64), steps[:1]
    if len(steps) == 1:
        return stands
    back = xy - time[:, None] * steps[layer]
    apart = sum(_cells_filled(back[layer == number]) for number in range(len(steps)))
    moved = _cells_filled(xy - time[:, None] * steps[1])
    if min(moved, apart) > _LESS * _cells_filled(xy):
        return stands
    if moved <= _ALL_ONE * apart:
        return np.ones(len(xy), dtype=np.int64), steps[:2]
    return layer, steps


def _vote(xy: Array, time: NDArray[np.integer]) -> Array:
    """Return the displacement per sweep with most votes, metres [2]: coarse by few sweeps apart, fine by many."""
    cell = np.unique(np.column_stack([time, np.floor(xy / _CELL_M).astype(np.int64)]), axis=0)
    bounds = np.searchsorted(cell[:, 0], np.arange(cell[0, 0], cell[-1, 0] + 2))
    by_sweep = [cell[a:b, 1:][:: 1 + (b - a) // _VOTERS] for a, b in itertools.pairwise(bounds)]
    step = _most_voted(by_sweep, _LAG, np.zeros(2), _FASTEST_M)
    for lag in (_LAG * 2, _LAG * 3):
        if lag < len(by_sweep):
            step = _most_voted(by_sweep, lag, step, 1.5 * _CELL_M / _LAG)
    return step


def _most_voted(by_sweep: list[NDArray[np.int64]], lag: int, about: Array, reach_m: float) -> Array:
    """Return the displacement per sweep with most votes of cells ``lag`` sweeps apart, near ``about``, metres [2]."""
    from scipy.ndimage import uniform_filter

    centre = np.rint(about * lag / _CELL_M).astype(np.int64)
    reach = int(np.ceil(reach_m * lag / _CELL_M))
    side = 2 * reach + 1
    votes = np.zeros(side * side, dtype=np.int64)
    for before, after in zip(by_sweep, by_sweep[lag:], strict=False):
        moved = (after[None] - before[:, None]).reshape(-1, 2) - centre + reach
        moved = moved[((moved >= 0) & (moved < side)).all(axis=1)]
        votes += np.bincount(moved[:, 0] * side + moved[:, 1], minlength=side * side)
    table = votes.reshape(side, side).astype(np.float64)
    row, column = np.unravel_index(int(uniform_filter(table, 3, mode="constant").argmax()), table.shape)
    rows, columns = (np.arange(max(at - 1, 0), min(at + 2, side)) for at in (int(row), int(column)))
    around = table[np.ix_(rows, columns)]
    if around.sum() == 0:
        return about
    middle = np.array([(around.sum(axis=1) * rows).sum(), (around.sum(axis=0) * columns).sum()]) / around.sum()
    step: Array = (middle - reach + centre) * (_CELL_M / lag)
    return step


def _sweeps_seen(xy: Array, time: NDArray[np.integer], around: bool = True) -> NDArray[np.int64]:
    """Count the sweeps that see something in each point's cell, or also in the eight around it, [n]."""
    cell, width = _cells(xy)
    key, row = np.unique(cell, return_inverse=True)
    sweeps, when = np.unique(time, return_inverse=True)
    seen = np.zeros((len(key), len(sweeps)), dtype=np.bool_)
    seen[row, when] = True
    total = seen.copy()
    for jump in (-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1) if around else ():
        at = np.minimum(np.searchsorted(key, key + jump), len(key) - 1)
        there = key[at] == key + jump
        total[there] |= seen[at[there]]
    counts: NDArray[np.int64] = total.sum(axis=1)[row]
    return counts


def _cells_filled(xy: Array) -> int:
    return len(np.unique(_cells(xy)[0])) if len(xy) else 0


def _cells(xy: Array) -> tuple[NDArray[np.int64], int]:
    """Return the key of each cell, [n], and its growth from row to row, so large that rows do not touch."""
    cell = np.floor(xy / _CELL_M).astype(np.int64)
    cell -= cell.min(axis=0) - 1
    width = int(cell[:, 1].max()) + 2
    return cell[:, 0] * width + cell[:, 1], width


def _parts(
    xyz: Array, time: NDArray[np.integer], range_m: Array, layer: NDArray[np.int64], steps: Array
) -> tuple[NDArray[np.int64], Array]:
    """Divide each layer, moved back, into what is apart; [n] part of each point, [parts, 2] how it moves."""
    from scipy.spatial import cKDTree

    part, moves = np.full(len(xyz), -1, dtype=np.int64), list[Array]()
    for number, step in enumerate(steps):
        members = np.flatnonzero(layer == number)
        if len(members) < _LEAST_POINTS:
            continue
        back = xyz[members].copy()
        back[:, :2] -= time[members, None] * step
        apart_m = max(_APART_M, _APART_BY_RANGE * float(np.median(range_m[members])))
        label = _components(back, apart_m)
        size = np.bincount(label)
        large = size >= max(_LEAST_POINTS, _LEAST_SHARE * len(members))
        large[size.argmax()] = True
        rank = np.where(large, len(moves) + np.cumsum(large) - 1, -1)
        part[members] = rank[label]
        moves += [step] * int(large.sum())
    stray = part < 0
    if stray.any():
        place = np.column_stack([xyz, time * _METRES_PER_SWEEP])
        part[stray] = part[~stray][cKDTree(place[~stray]).query(place[stray])[1]]
    return part, np.array(moves)


def _components(xyz: Array, apart_m: float) -> NDArray[np.int64]:
    """Find the parts between which there are gaps wider than ``apart_m``, [n]."""
    from scipy.sparse import coo_matrix, csgraph
    from scipy.spatial import cKDTree

    voxel_xyz, voxel = voxelize(xyz, apart_m / 3)
    pairs = cKDTree(voxel_xyz).query_pairs(apart_m, output_type="ndarray")
    graph = coo_matrix((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(len(voxel_xyz),) * 2)
    label: NDArray[np.int64] = csgraph.connected_components(graph, directed=False)[1][voxel]
    return label
