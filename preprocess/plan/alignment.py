"""How well a data set's poses lay successive sweeps on each other: wrong poses are an adapter's commonest mistake."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.datasets.registry import Dataset
from iscc_lidar.shared.base.geometry import inverse, transform

_NEAR_M: Final = 0.1
_OWN_CAR_M: Final = 3.0  # points nearer than this may lie on the car itself and move with it
_GROUND_M: Final = -1.0  # below this under the sensor lies the ground, whose rings repeat wherever the car is
_ASKED: Final = 4000  # points of a sweep whose nearest one in the sweep before is looked for


def alignment(dataset: Dataset, sequence: str, max_pairs: int = 10) -> dict[str, float]:
    """Share of points that have one of the sweep before within 10 cm, placed by the poses and as measured.

    Wrong poses lower the first share, and one near the second tells of a car that stands or of poses that say
    nothing: see ``moved_m``. Points within 3 m, where the car itself is, and those lower than 1 m below the sensor,
    on the ground, are left out; of the later sweep every k-th point is asked, about 4,000.

    Args:
        dataset: the data set.
        sequence: name of a sequence whose sweeps follow each other.
        max_pairs: pairs of successive sweeps, spread over the sequence.

    Returns:
        ``pairs``, and means over them: ``near_with_poses``, ``near_without``, ``moved_m`` and ``turned_deg``, the
        sensor's motion between the two. With no pair only ``pairs``, 0.
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
    asked = _off_the_car(second)
    asked = asked[:: max(1, len(asked) // _ASKED)]
    tree = cKDTree(_off_the_car(first))
    return {
        "near_with_poses": _near_share(tree, transform(first_SE3_second, asked)),
        "near_without": _near_share(tree, asked),
        "moved_m": float(np.linalg.norm(first_SE3_second[:3, 3])),
        "turned_deg": float(np.degrees(np.arccos(turn))),
    }


def _off_the_car(sweep: Sweep) -> NDArray[np.float64]:
    """Points that exist, float64 [M, 3], without those near the sensor or on the ground."""
    there = np.asarray(np.isfinite(sweep.xyz).all(axis=1))
    there[there] = (np.linalg.norm(sweep.xyz[there], axis=1) >= _OWN_CAR_M) & (sweep.xyz[there, 2] > _GROUND_M)
    xyz: NDArray[np.float64] = sweep.xyz[there].astype(np.float64)
    return xyz


def _near_share(tree: cKDTree, xyz: NDArray[np.float64]) -> float:
    if not len(xyz) or not tree.n:
        return 0.0
    distance, _ = tree.query(xyz, distance_upper_bound=_NEAR_M)
    return float(np.isfinite(distance).mean())
