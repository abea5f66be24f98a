"""Check a dataset's poses by how well they align successive sweeps: wrong poses are the most common adapter mistake."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.datasets.registry import Dataset
from iscc_lidar.shared.base.geometry import inverse, transform

_NEAR_M: Final = 0.1
_EGO_VEHICLE_M: Final = 3.0  # nearer points may lie on the ego vehicle, and move with it
_GROUND_M: Final = -1.0  # lower points are mostly ground, whose rings look the same wherever the vehicle is
_SAMPLED_POINTS: Final = 4000  # points of a sweep whose nearest neighbour in the previous sweep is searched


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
    figures = [_align(dataset.read(sequence, i), dataset.read(sequence, i + 1)) for i in starts]
    means = {name: float(np.mean([pair[name] for pair in figures])) for name in (figures[0] if figures else ())}
    return {"pairs": float(len(figures))} | means


def _align(first: Sweep, second: Sweep) -> dict[str, float]:
    first_SE3_second = inverse(first.world_SE3_sensor) @ second.world_SE3_sensor
    turn = np.clip((np.trace(first_SE3_second[:3, :3]) - 1) / 2, -1, 1)
    points = _stationary_points(second)
    points = points[:: max(1, len(points) // _SAMPLED_POINTS)]
    tree = cKDTree(_stationary_points(first))
    return {
        "near_with_poses": _near_share(tree, transform(first_SE3_second, points)),
        "near_without": _near_share(tree, points),
        "moved_m": float(np.linalg.norm(first_SE3_second[:3, 3])),
        "turned_deg": float(np.degrees(np.arccos(turn))),
    }


def _stationary_points(sweep: Sweep) -> NDArray[np.float64]:
    """Select the valid points, float64 [M, 3], without those near the sensor or on the ground."""
    keep = np.asarray(np.isfinite(sweep.xyz).all(axis=1))
    keep[keep] = (np.linalg.norm(sweep.xyz[keep], axis=1) >= _EGO_VEHICLE_M) & (sweep.xyz[keep, 2] > _GROUND_M)
    xyz: NDArray[np.float64] = sweep.xyz[keep].astype(np.float64)
    return xyz


def _near_share(tree: cKDTree, xyz: NDArray[np.float64]) -> float:
    if not len(xyz) or not tree.n:
        return 0.0
    distance, _ = tree.query(xyz, distance_upper_bound=_NEAR_M)
    return float(np.isfinite(distance).mean())
