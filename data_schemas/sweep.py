"""What a data set adapter hands to the offline stage: one sweep, as measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes, Camera


class SweepError(ValueError):
    """A sweep is not as it must be: its data are damaged, or its reader is wrong. The message says which and how."""


@dataclass(frozen=True)
class Sweep:
    """One LiDAR sweep in the raw file's own point order and count.

    Attributes:
        sequence: name of the sequence within the data set.
        name: the sweep's own name in the data set (a frame number or time stamp), unique in its sequence.
        timestamp_ns: time of the sweep, nanoseconds; only differences within a sequence have a meaning.
        xyz: float32 [N, 3], metres, sensor frame: x forward, y left, z up, the origin at the (topmost) LiDAR.
            Points that do not exist (NaN, infinite, exactly zero) keep their place.
        intensity: float32 [N], 0..1 by the data set's stated rule.
        origin: float32 [N, 3] or [1, 3], metres, sensor frame: where each return's ray started.
        world_SE3_sensor: float64 [4, 4], sensor frame to a frame that is fixed during the sequence.
        semantic: uint8 [N] or None: class index into the adapter's class names, 0 where unlabelled.
        instance: int32 [N] or None: object id, stable within the sequence, 0 where none. Only for scoring.
        pixel: uint16 [N, 4] or None: laser, return, row and column of each point in its range image, all as the
            data set counts them. None where the raw file is a list of points: there the order says it all.
        boxes: labelled boxes; None where there are none to have, which is not the same as none in this sweep.
        camera: the camera that boxes were labelled in, or None.

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
        """Refuse what is not as stated above. Raises SweepError."""
        n = len(self.xyz)
        _expect(self, "xyz", np.float32, (n, 3))
        _expect(self, "intensity", np.float32, (n,))
        _expect(self, "origin", np.float32, (1, 3) if len(self.origin) == 1 else (n, 3))
        _expect(self, "world_SE3_sensor", np.float64, (4, 4))
        _expect(self, "semantic", np.uint8, (n,))
        _expect(self, "instance", np.int32, (n,))
        _expect(self, "pixel", np.uint16, (n, 4))
        if n and not (self.intensity.min() >= 0 and self.intensity.max() <= 1):
            raise SweepError(f"{_place(self)}: intensity must lie in 0..1, where points are invalid too")
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
