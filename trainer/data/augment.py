"""Random views of a sweep. The linear part is one matrix, so that occupancy queries move exactly with the points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.config import option


@dataclass(frozen=True)
class AugmentConfig:
    """Augmentations of method.md, each with its own switch: 0 or false turns it off."""

    rotate_deg: float = option(180.0, "rotation about z, uniform within +-this; streets have no preferred heading")
    flip: bool = option(True, "mirror x, and y, each with probability one half")
    scale: float = option(0.05, "scale factor uniform in 1 +- this; the peers' value")
    jitter_m: float = option(0.01, "standard deviation of noise on each point, metres, cut at 3; below sensor noise")
    drop: float = option(0.1, "share of points left out is uniform in 0..this; mimics lost returns")
    rotate_groups: float = option(
        0.0, "share of the groups that are turned about the sensor, each by its own angle: out of their surroundings"
    )

    def __post_init__(self) -> None:
        if not 0 <= self.rotate_groups <= 1:
            raise ValueError(f"augment.rotate_groups is a share from 0 to 1, not {self.rotate_groups}")


NO_AUGMENTATION: Final = AugmentConfig(rotate_deg=0.0, flip=False, scale=0.0, jitter_m=0.0, drop=0.0)


@dataclass(frozen=True)
class View:
    """A sweep as augmented.

    Attributes:
        xyz: float32 [N, 3], metres, view frame; the sensor is at its origin.
        intensity: float32 [N].
        label: int32 [N], group id or code.
        view_T_sensor: float64 [4, 4], affine map from the sensor frame to the view frame.
        source: int64 [N], ascending, which of the points that the view was drawn from each one is.
    """

    xyz: NDArray[np.float32]
    intensity: NDArray[np.float32]
    label: NDArray[np.int32]
    view_T_sensor: NDArray[np.float64]
    source: NDArray[np.int64]

    def select(self, keep: NDArray[np.bool_]) -> View:
        """The same view with only some of its points."""
        rows = np.flatnonzero(keep)  # taking rows by number is twice as fast as by mask
        parts = (self.intensity[rows], self.label[rows], self.view_T_sensor, self.source[rows])
        return View(self.xyz.take(rows, axis=0), *parts)


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
    """Take points [N, 3] from frame src to frame dst, within some hundred metres of both: in single precision."""
    moved: NDArray[np.float32] = xyz @ dst_T_src[:3, :3].T.astype(np.float32)
    for axis in range(3):  # numpy adds long columns many times as fast as short rows
        moved[:, axis] += np.float32(dst_T_src[axis, 3])
    return moved
