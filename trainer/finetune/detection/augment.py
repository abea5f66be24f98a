"""Random views of a sweep with its boxes: mirrored, rotated, scaled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes
from iscc_lidar.shared.base.config import check_ranges, option


@dataclass(frozen=True)
class BoxAugmentConfig:
    """Augmentations of a sweep with its boxes; 0 or false turns one off."""

    flip: bool = option(True, "mirror y with probability 0.5; x is the camera's direction")
    rotate_deg: float = option(45.0, "rotation about z, uniform within +-this", at_least=0, at_most=360)
    scale: float = option(0.05, "scale factor uniform in 1 +- this", at_least=0, at_most=0.99)
    drop: float = option(0.1, "share of dropped points is uniform in 0..this", at_least=0, at_most=0.99)

    def __post_init__(self) -> None:
        check_ranges(self, "augment")


@dataclass(frozen=True)
class Scene:
    """Points of a sweep and its boxes.

    Attributes:
        xyz: float32 [N, 3], metres; intensity: float32 [N].
        ground: bool [N], points that preprocessing labelled as ground.
        boxes: of the classes to detect or to ignore.
    """

    xyz: NDArray[np.float32]
    intensity: NDArray[np.float32]
    ground: NDArray[np.bool_]
    boxes: Boxes

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Keep some points."""
        return replace(self, xyz=self.xyz[rows], intensity=self.intensity[rows], ground=self.ground[rows])


def augment_scene(scene: Scene, config: BoxAugmentConfig, rng: np.random.Generator) -> Scene:
    """Draw a random view of a scene."""
    angle = np.deg2rad(rng.uniform(-config.rotate_deg, config.rotate_deg))
    mirror = -1.0 if config.flip and rng.random() < 0.5 else 1.0
    factor = rng.uniform(1 - config.scale, 1 + config.scale)
    cos, sin = np.cos(angle), np.sin(angle)
    view_R_sensor = factor * np.array([[cos, -sin * mirror, 0], [sin, cos * mirror, 0], [0, 0, 1]])
    kept = np.flatnonzero(rng.random(len(scene.xyz)) >= rng.uniform(0, config.drop))
    boxes = replace(
        scene.boxes,
        centre=scene.boxes.centre @ view_R_sensor.T,
        size=scene.boxes.size * factor,
        heading=mirror * scene.boxes.heading + angle,
    )
    thinned = scene.take(kept)
    xyz = (thinned.xyz @ view_R_sensor.T.astype(np.float32)).astype(np.float32)
    return replace(thinned, xyz=xyz, boxes=boxes)
