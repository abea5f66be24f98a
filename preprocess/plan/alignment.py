"""Check a dataset's poses by how well they align successive sweeps: wrong poses are the most common adapter mistake."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.datasets.registry import Dataset
from iscc_lidar.shared.base.geometry import inverse, transform

if TYPE_CHECKING:  # imported where points are compared, so that listing the datasets stays fast
    from scipy.spatial import cKDTree

_NEAR_M: Final = 0.1
_EGO_VEHICLE_M: Final = 3.0  # nearer points may lie on the ego vehicle, and move with it
_GROUND_M: Final = -1.0  # lower points are mostly ground, whose rings look the same wherever the vehicle is
_SAMPLED_POINTS: Final = 4000  # points of a sweep that are compared with the previous sweep
_TRIED_POINTS: Final = 1000  # the same, for each motion that is tried
_MIN_POINTS: Final = 1500  # a pair with fewer, or with fewer than the next number at surfaces, proves nothing
_MIN_AT_SURFACES: Final = 100

_SURFACE_POINTS: Final = 8  # nearest points of the previous sweep, all within a metre, that make a surface
_SURFACE_M: Final = 1.0
# The second largest variance of a surface's points is this many times the smallest, and above that of noise: the points
# of a single ring make a line.
_FLAT: Final = 4.0
_THICKNESS_M: Final = 0.01

_MOVED_M: Final = 0.3
_TURNED_DEG: Final = 1.0
# Factor and share by which another motion must fit better. With right poses the worst of 148 pairs of sweeps of real
# sensors and of simulated ones of 16 to 128 beams has 1.05 and 0.036.
_BETTER: Final = (1.1, 0.06)

_CAMERA_SE3_SENSOR: Final = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
_STEPS_M: Final = tuple(0.15 * k for k in range(1, 28))  # forward, up to 4 m


def measure_alignment(dataset: Dataset, sequence: str, max_pairs: int = 10) -> dict[str, float]:
    """Measure the share of points within 10 cm of a surface of the previous sweep, with the poses and without.

    A surface is the plane through the 8 nearest points of the previous sweep, where these lie within a metre and not
    in a line; other points do not count. So the share hardly depends on how dense the sweeps are, and the pattern of
    the rays, which repeats wherever the vehicle is, does not raise it. Wrong poses lower the share with poses. If both
    shares are similar, the vehicle hardly moves or the poses are useless: see ``moved_m``. Points within 3 m (the ego
    vehicle) and those lower than 1 m below the sensor (the ground) are left out; of the later sweep about 4,000 points
    are used, evenly spread. The pairs are spread over the sequence.

    Returns:
        ``pairs``, and means over them: ``near_with_poses``, ``near_without``, ``moved_m`` and ``turned_deg``, the
        sensor's motion from one sweep to the next. Without pairs only ``pairs``, 0.
    """
    last = len(dataset.sweep_names(sequence)) - 1
    pairs = min(last, max_pairs)
    starts = [round(k * (last - 1) / max(pairs - 1, 1)) for k in range(pairs)]
    return measure_pairs([(dataset.read(sequence, i), dataset.read(sequence, i + 1)) for i in starts])


def measure_pairs(pairs: Sequence[tuple[Sweep, Sweep]]) -> dict[str, float]:
    """Measure pairs of successive sweeps as ``measure_alignment`` does."""
    figures = [_align(first, second) for first, second in pairs]
    means = {name: float(np.mean([pair[name] for pair in figures])) for name in (figures[0] if figures else ())}
    return {"pairs": float(len(figures))} | means


@dataclass(frozen=True)
class Motions:
    """Share of points near surfaces of the previous sweep, by the motion tried; and whether the poses move."""

    shares: dict[str, float]
    moved: bool


def judge_alignment(pairs: Sequence[tuple[Sweep, Sweep]]) -> Iterator[str]:
    """Judge poses by some pairs of successive sweeps, whose points must be sound, see ``plausibility``."""
    return judge_motions([tried for pair in pairs if (tried := try_motions(*pair)) is not None])


def judge_motions(tried: Sequence[Motions]) -> Iterator[str]:
    """Judge poses by what was tried on some pairs: yields an error if another motion fits the points clearly better.

    Where the vehicle stands, its poses are sound.
    """
    if not tried:
        return
    mean = {name: float(np.mean([pair.shares[name] for pair in tried])) for name in tried[0].shares}
    given = mean.pop(_GIVEN)
    best = max(mean, key=lambda name: mean[name] * (1.0 if name in (_FORWARD, _STANDS) else 1.1))  # prefer a cause
    moved = any(pair.moved for pair in tried)
    if mean[best] > max(_BETTER[0] * given, given + _BETTER[1]):
        why = _CAUSES[best] if moved else "the poses do not move, but the vehicle does: they are missing or another's"
        yield (
            f"the poses are wrong: {given:.0%} of points lie within 10 cm of a surface of the previous sweep with "
            f"them, but {mean[best]:.0%} if {best}. Probably {why}"
        )


_GIVEN: Final = "given"
_INVERTED: Final = "the poses are inverted"
_LIDAR: Final = "the poses are those of the LiDAR instead of the camera"
_CAMERA: Final = "the poses are those of the camera instead of the LiDAR"
_FORWARD: Final = "it drives straight on, by the distance that fits best"
_STANDS: Final = "the vehicle stands"
_CAUSES: Final = {
    _INVERTED: "the file maps the world to the sensor; invert each pose",
    _LIDAR: "poses of the LiDAR were written where the dataset expects the camera's; write Tr P Tr^-1 of each",
    _CAMERA: "the calibration Tr from LiDAR to camera is missing or the identity; fetch the dataset's own",
    _FORWARD: "they are of another sequence, go by other frame numbers, or odometry failed: pass poses with --poses",
    _STANDS: "they are in another frame, of another sequence, or the points have other axes",
}


def try_motions(first: Sweep, second: Sweep) -> Motions | None:
    """Measure the share of near points by the given motion and by others; None where there are too few points."""
    from scipy.spatial import cKDTree

    points, target = _stationary_points(second), _stationary_points(first)
    if min(len(points), len(target)) < _MIN_POINTS:
        return None
    points = points[:: max(1, len(points) // _TRIED_POINTS)]
    tree = cKDTree(target, balanced_tree=False, compact_nodes=False)
    given = inverse(first.world_SE3_sensor) @ second.world_SE3_sensor
    camera = _CAMERA_SE3_SENSOR
    others = {
        _STANDS: np.eye(4),
        _INVERTED: first.world_SE3_sensor @ inverse(second.world_SE3_sensor),
        _LIDAR: camera @ given @ inverse(camera),
        _CAMERA: inverse(camera) @ given @ camera,
    }
    moved_m, turned_deg = _motion(given)
    moved = moved_m > _MOVED_M or turned_deg > _TURNED_DEG
    share, counted = _near_share(tree, transform(given, points))
    if counted >= _MIN_AT_SURFACES and share + _BETTER[1] >= 1:  # nothing can be clearly better
        return Motions(dict.fromkeys((_GIVEN, *others, _FORWARD), share), moved)
    found = {_GIVEN: (share, counted)}
    found |= {name: _near_share(tree, transform(motion, points)) for name, motion in others.items()}
    found[_FORWARD] = max(_near_share(tree, points + np.array([step, 0, 0])) for step in _STEPS_M)
    if max(counted for _, counted in found.values()) < _MIN_AT_SURFACES:
        return None
    return Motions({name: share for name, (share, _) in found.items()}, moved)


def _motion(first_SE3_second: NDArray[np.float64]) -> tuple[float, float]:
    """Return metres and degrees of a motion."""
    turn = np.clip((np.trace(first_SE3_second[:3, :3]) - 1) / 2, -1, 1)
    return float(np.linalg.norm(first_SE3_second[:3, 3])), float(np.degrees(np.arccos(turn)))


def _align(first: Sweep, second: Sweep) -> dict[str, float]:
    from scipy.spatial import cKDTree

    first_SE3_second = inverse(first.world_SE3_sensor) @ second.world_SE3_sensor
    moved_m, turned_deg = _motion(first_SE3_second)
    points = _stationary_points(second)
    points = points[:: max(1, len(points) // _SAMPLED_POINTS)]
    tree = cKDTree(_stationary_points(first))
    return {
        "near_with_poses": _near_share(tree, transform(first_SE3_second, points))[0],
        "near_without": _near_share(tree, points)[0],
        "moved_m": moved_m,
        "turned_deg": turned_deg,
    }


def _stationary_points(sweep: Sweep) -> NDArray[np.float64]:
    """Select the valid points, float64 [M, 3], without those near the sensor or on the ground."""
    high = sweep.xyz[sweep.xyz[:, 2] > _GROUND_M]
    squares = np.einsum("ij,ij->i", high, high, dtype=np.float64)
    xyz: NDArray[np.float64] = high[np.isfinite(squares) & (squares >= _EGO_VEHICLE_M**2)].astype(np.float64)
    return xyz


def _near_share(tree: cKDTree, xyz: NDArray[np.float64]) -> tuple[float, int]:
    """Share of points at surfaces that lie near them, and how many lie at surfaces; see ``measure_alignment``."""
    if not len(xyz) or tree.n < _SURFACE_POINTS:
        return 0.0, 0
    distance, index = tree.query(xyz, k=_SURFACE_POINTS, distance_upper_bound=_SURFACE_M)
    complete = np.isfinite(distance[:, -1])
    around = tree.data[index[complete]]  # [n, 8, 3]
    centre = around.mean(axis=1)
    spread = around - centre[:, None]
    variances, axes = np.linalg.eigh(np.einsum("nki,nkj->nij", spread, spread) / _SURFACE_POINTS)
    flat = variances[:, 1] > _FLAT * variances[:, 0] + _THICKNESS_M**2
    away = np.abs(np.einsum("ni,ni->n", xyz[complete] - centre, axes[:, :, 0]))
    counted = int(flat.sum())
    return int((flat & (away < _NEAR_M)).sum()) / max(counted, _MIN_AT_SURFACES), counted
