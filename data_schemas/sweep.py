"""One sweep as measured: what a dataset adapter returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes, Camera


class SweepError(ValueError):
    """A sweep is not valid: its data are damaged, or its adapter is wrong. The message names the sweep."""


@dataclass(frozen=True)
class Sweep:
    """One LiDAR sweep in the raw file's own point order and count.

    Attributes:
        sequence: name of the sequence within the dataset.
        name: the dataset's name of the sweep (a frame number or timestamp), unique in its sequence.
        timestamp_ns: time of the sweep, nanoseconds; only differences within a sequence are meaningful.
        xyz: float32 [N, 3], metres, sensor frame: x forward, y left, z up, origin at the (topmost) LiDAR. Invalid
            points (NaN, infinite, exactly zero) are kept.
        intensity: float32 [N], 0..1, by the rule that the adapter states.
        origin: float32 [N, 3] or [1, 3], metres, sensor frame: start of each return's ray.
        world_SE3_sensor: float64 [4, 4], sensor frame to a frame that is fixed during the sequence.
        semantic: uint8 [N] or None: class index into the adapter's class names, 0 where unlabelled.
        instance: int32 [N] or None: object id, stable within the sequence, 0 for no object. Only for scoring.
        pixel: uint16 [N, 4] or None: laser, return, row and column of each point in its range image, as the dataset
            counts them. None if the raw file is a list of points.
        boxes: labelled boxes; None if the dataset has none, empty if only this sweep has none.
        camera: the camera in whose image boxes were labelled, or None.
    """

    sequence: str
    name: str
    timestamp_ns: int
    xyz: NDArray[np.float32]
    intensity: NDArray[np.float32]
    origin: NDArray[np.float32]
    world_SE3_sensor: NDArray[np.float64]
    semantic: NDArray[np.uint8] | None = None
    instance: NDArray[np.int32] | None = None
    pixel: NDArray[np.uint16] | None = None
    boxes: Boxes | None = None
    camera: Camera | None = None

    def __post_init__(self) -> None:
        """Check dtypes, shapes, intensity and pose. Raises SweepError."""
        n = len(self.xyz)
        _expect(self, "xyz", np.float32, (n, 3))
        _expect(self, "intensity", np.float32, (n,))
        _expect(self, "origin", np.float32, (1, 3) if len(self.origin) == 1 else (n, 3))
        _expect(self, "world_SE3_sensor", np.float64, (4, 4))
        _expect(self, "semantic", np.uint8, (n,))
        _expect(self, "instance", np.int32, (n,))
        _expect(self, "pixel", np.uint16, (n, 4))
        if n and not (self.intensity.min() >= 0 and self.intensity.max() <= 1):
            raise SweepError(f"{_place(self)}: intensity must lie in 0..1, also where points are invalid")
        rotation = self.world_SE3_sensor[:3, :3]
        if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) or np.linalg.det(rotation) < 0:
            raise SweepError(f"{_place(self)}: world_SE3_sensor must be a rotation and a translation")

    def __len__(self) -> int:
        return len(self.xyz)


def _expect(sweep: Sweep, name: str, dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    array = getattr(sweep, name)
    if array is not None and (array.dtype != dtype or array.shape != shape):
        raise SweepError(
            f"{_place(sweep)}: {name} must be {np.dtype(dtype)} {list(shape)}, not {array.dtype} {list(array.shape)}"
        )


def _place(sweep: Sweep) -> str:
    return f"sequence {sweep.sequence}, sweep {sweep.name}"
