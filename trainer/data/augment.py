"""Random views of a sweep. The linear part is one matrix, so that occupancy queries move exactly with the points."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.config import check_ranges, option
from iscc_lidar.shared.cache.sweep import CachedSweep


@dataclass(frozen=True)
class AugmentConfig:
    """Augmentations, each switched off by 0 or false."""

    rotate_deg: float = option(
        180.0, "rotation about z, uniform within +- this; streets have no preferred heading", at_least=0, at_most=360
    )
    flip: bool = option(True, "mirror x, and y, each with probability 0.5")
    scale: float = option(0.05, "scale factor, uniform in 1 +- this; as in ALSO and BEVContrast", at_least=0, below=1)
    jitter_m: float = option(
        0.01, "sigma of noise per point, metres, clipped at 3 sigma; below sensor noise", at_least=0, at_most=100
    )
    drop: float = option(
        0.1, "share of points that are dropped, uniform in 0 to this; like lost returns", at_least=0, below=1
    )
    rotate_groups: float = option(
        0.0, "share of groups rotated about the sensor axis, each by its own angle", at_least=0, at_most=1
    )

    def __post_init__(self) -> None:
        check_ranges(self, "augment")


NO_AUGMENTATION: Final = AugmentConfig(rotate_deg=0.0, flip=False, scale=0.0, jitter_m=0.0, drop=0.0)


@dataclass(frozen=True)
class View:
    """A sweep as augmented.

    Attributes:
        xyz: float32 [N, 3], metres, view frame; the sensor is at its origin.
        intensity: float32 [N].
        label: int32 [N], group ID or code.
        view_T_sensor: float64 [4, 4], affine map from the sensor frame to the view frame.
        source: int64 [N], ascending, index of each point among those given to ``augment``.
    """

    xyz: NDArray[np.float32]
    intensity: NDArray[np.float32]
    label: NDArray[np.int32]
    view_T_sensor: NDArray[np.float64]
    source: NDArray[np.int64]

    def select(self, keep: NDArray[np.bool_]) -> View:
        """Return the view with only the points of a mask bool [N]."""
        rows = np.flatnonzero(keep)  # indexing by number is twice as fast as by mask
        xyz = self.xyz.take(rows, axis=0)
        return View(xyz, self.intensity[rows], self.label[rows], self.view_T_sensor, self.source[rows])


def augment(
    xyz: NDArray[np.float32],
    intensity: NDArray[np.float32],
    label: NDArray[np.int32],
    config: AugmentConfig,
    rng: np.random.Generator,
) -> View:
    """Draw one view of points [N, 3] in the sensor frame."""
    view_T_sensor = draw_transform(config, rng)
    moved = apply_affine(view_T_sensor, xyz)
    if config.jitter_m > 0:
        noise = rng.standard_normal(moved.shape, dtype=np.float32)
        np.clip(noise, -3, 3, out=noise)
        noise *= np.float32(config.jitter_m)
        moved += noise
    view = View(moved, intensity, label, view_T_sensor, np.arange(len(xyz)))
    if config.drop > 0:
        view = view.select(rng.random(len(xyz)) >= rng.uniform(0, config.drop))
    return view


def draw_transform(config: AugmentConfig, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw rotation about z, flips and scale as one affine matrix, float64 [4, 4]."""
    angle = np.deg2rad(rng.uniform(-config.rotate_deg, config.rotate_deg))
    mirror = np.where(rng.random(2) < 0.5, -1.0, 1.0) if config.flip else np.ones(2)
    factor = rng.uniform(1 - config.scale, 1 + config.scale)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    view_T_sensor = np.eye(4)
    view_T_sensor[:2, :2] = factor * rotation @ np.diag(mirror)
    view_T_sensor[2, 2] = factor
    return view_T_sensor


def apply_affine(dst_T_src: NDArray[np.float64], xyz: NDArray[np.float32]) -> NDArray[np.float32]:
    """Transform points [N, 3] from frame src to dst in float32, for points within about 100 m of both origins."""
    moved: NDArray[np.float32] = xyz @ dst_T_src[:3, :3].T.astype(np.float32)
    for axis in range(3):  # NumPy adds long columns many times faster than short rows
        moved[:, axis] += np.float32(dst_T_src[axis, 3])
    return moved


def rotate_groups(sweep: CachedSweep, share: float, rng: np.random.Generator) -> CachedSweep:
    """Rotate groups of a sweep, with their occupancy queries, about the sensor's z axis, each by a random angle.

    The surroundings of a group and its direction distinguish it from the other groups of its scene without regard to
    its shape. A network that learns them recognises places, not objects, and fails where objects stand elsewhere. A
    rotation about the sensor keeps a group's distance, visible side and lines of sight. PolarMix (Xiao et al., NeurIPS
    2022) does the same to labelled objects.

    Args:
        sweep: points in no group stay: ground, noise, ignored points.
        share: probability of each group to be rotated; 0 draws no random numbers.
        rng: draws groups and angles.
    """
    if share == 0:
        return sweep
    groups = 1 + int(max(sweep.label.max(initial=-1), sweep.queries.group.max(initial=-1)))
    angle = np.where(rng.random(groups) < share, rng.uniform(-np.pi, np.pi, groups), 0)
    cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    queries = dataclasses.replace(sweep.queries, xyz=_rotate(sweep.queries.xyz, sweep.queries.group, cos, sin))
    return dataclasses.replace(sweep, xyz=_rotate(sweep.xyz, sweep.label, cos, sin), queries=queries)


def _rotate(
    xyz: NDArray[np.float32], group: NDArray[np.int32], cos: NDArray[np.float32], sin: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Rotate points [N, 3] by the angle of their group; points with a code instead of a group stay."""
    rows = np.flatnonzero(group >= 0)
    (x, y, _), c, s = xyz[rows].T, cos[group[rows]], sin[group[rows]]
    rotated = xyz.copy()
    rotated[rows, 0] = c * x - s * y
    rotated[rows, 1] = s * x + c * y
    return rotated
