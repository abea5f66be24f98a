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
_SAMPLED_POINTS: Final = 4000  # points of a sweep whose nearest neighbour in the previous sweep is searched
_TRIED_POINTS: Final = 1000  # the same, for each other motion that is tried
_MIN_POINTS: Final = 1500  # a pair with fewer proves nothing: the sensor's own pattern is all that repeats

_MOVED_M: Final = 0.3
_TURNED_DEG: Final = 1.0
# Share of near points with the poses over that without, where the vehicle moves. Real data of seven sensors give 1.10
# and more, poses in another frame 0.00 to 0.4 where the vehicle drives.
_MIN_RATIO: Final = 0.5
# Factor and share by which another motion fits better: sound data at most 1.02 and 0.014, mistakes in the poses of a
# moving vehicle at least 1.37 and 0.06.
_BETTER: Final = (1.2, 0.05)

_CAMERA_SE3_SENSOR: Final = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
_STEPS_M: Final = tuple(0.15 * k for k in range(1, 28))  # forward, up to 4 m


def measure_alignment(dataset: Dataset, sequence: str, max_pairs: int = 10) -> dict[str, float]:
    """Measure the share of points within 10 cm of a point of the previous sweep, with the poses and without.

    Wrong poses lower the share with poses. If both shares are similar, the vehicle hardly moves or the poses are
    useless: see ``moved_m``. Points within 3 m (the ego vehicle) and those lower than 1 m below the sensor (the ground)
    are left out; of the later sweep about 4,000 points are used, evenly spread. The pairs are spread over the sequence.

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
    """Share of points near those of the previous sweep, by the motion that is tried; and whether the poses move."""

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
    given, without = mean.pop(_GIVEN), mean[_STANDS]
    best = max(mean, key=lambda name: mean[name] * (1.0 if name in (_FORWARD, _STANDS) else 1.1))  # prefer a cause
    moved = any(pair.moved for pair in tried)
    if mean[best] > max(_BETTER[0] * given, given + _BETTER[1]):
        why = _CAUSES[best] if moved else "the poses do not move, but the vehicle does: they are missing or another's"
        yield (
            f"the poses are wrong: {given:.0%} of points lie within 10 cm of the previous sweep with them, but "
            f"{mean[best]:.0%} if {best}. Probably {why}"
        )
    elif moved and given < _MIN_RATIO * without:
        yield (
            f"the poses are wrong: {given:.0%} of points lie within 10 cm of the previous sweep with them, but "
            f"{without:.0%} without. They are in another frame, of another sequence, or the points have other axes"
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
    _FORWARD: "they are of another sequence, or go by other frame numbers",
    _STANDS: "they are of another sequence, or go by other frame numbers",
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
    motions = {
        _GIVEN: given,
        _STANDS: np.eye(4),
        _INVERTED: first.world_SE3_sensor @ inverse(second.world_SE3_sensor),
        _LIDAR: camera @ given @ inverse(camera),
        _CAMERA: inverse(camera) @ given @ camera,
    }
    moved_m, turned_deg = _motion(given)
    share = _near_share(tree, transform(given, points))
    if share * _BETTER[0] >= 1:  # nothing can be clearly better
        shares = dict.fromkeys((*motions, _FORWARD), share)
    else:
        shares = {name: _near_share(tree, transform(motion, points)) for name, motion in motions.items()}
        shares[_FORWARD] = max(_near_share(tree, points + np.array([step, 0, 0])) for step in _STEPS_M)
    return Motions(shares, moved_m > _MOVED_M or turned_deg > _TURNED_DEG)


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
        "near_with_poses": _near_share(tree, transform(first_SE3_second, points)),
        "near_without": _near_share(tree, points),
        "moved_m": moved_m,
        "turned_deg": turned_deg,
    }


def _stationary_points(sweep: Sweep) -> NDArray[np.float64]:
    """Select the valid points, float64 [M, 3], without those near the sensor or on the ground."""
    high = sweep.xyz[sweep.xyz[:, 2] > _GROUND_M]
    squares = np.einsum("ij,ij->i", high, high, dtype=np.float64)
    xyz: NDArray[np.float64] = high[np.isfinite(squares) & (squares >= _EGO_VEHICLE_M**2)].astype(np.float64)
    return xyz


def _near_share(tree: cKDTree, xyz: NDArray[np.float64]) -> float:
    if not len(xyz) or not tree.n:
        return 0.0
    distance, _ = tree.query(xyz, distance_upper_bound=_NEAR_M)
    return float(np.isfinite(distance).mean())
