"""One sweep as measured: what a dataset adapter returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes, Camera

FARTHEST_ORIGIN_M: Final = 1000.0
"""Largest coordinate of a ray's origin in the sensor frame: LiDARs of one vehicle are metres apart."""
FARTHEST_POSE_M: Final = 1e8
"""Largest coordinate of a sensor in the world frame; UTM northings reach 1e7. float64 resolves 15 nm there."""


class SweepError(ValueError):
    """A sweep is not valid: its data are damaged, or its adapter is wrong. The message names the sweep.

    ``points`` is the number of its points, 0 where it is not known.
    """

    def __init__(self, message: str, points: int = 0) -> None:
        super().__init__(message, points)
        self.points = points

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class Sweep:
    """One LiDAR sweep in the raw file's own point order and count.

    Attributes:
        sequence: name of the sequence within the dataset.
        name: the dataset's name of the sweep (a frame number or timestamp), unique in its sequence.
        timestamp_ns: time of the sweep, nanoseconds, an int64; only differences within a sequence are meaningful.
        xyz: float32 [N, 3], metres, sensor frame: x forward, y left, z up, origin at the (topmost) LiDAR. Invalid
            points (NaN, infinite, exactly zero) are kept; see also ``considered_mask`` of preprocess/segment.
        intensity: float32 [N], 0..1, by the rule that the adapter states.
        origin: float32 [N, 3] or [1, 3], metres, sensor frame: start of each return's ray; NaN only where the point
            is invalid, otherwise within ``FARTHEST_ORIGIN_M``.
        world_SE3_sensor: float64 [4, 4], sensor frame to a frame that is fixed during the sequence; its translation is
            within ``FARTHEST_POSE_M``.
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
        """Check dtypes, shapes, time, intensity, origins and pose. Raises SweepError."""
        n = len(self.xyz)
        _expect(self, "xyz", np.float32, (n, 3))
        _expect(self, "intensity", np.float32, (n,))
        _expect(self, "origin", np.float32, (1, 3) if len(self.origin) == 1 else (n, 3))
        _expect(self, "world_SE3_sensor", np.float64, (4, 4))
        _expect(self, "semantic", np.uint8, (n,))
        _expect(self, "instance", np.int32, (n,))
        _expect(self, "pixel", np.uint16, (n, 4))
        if n and not (self.intensity.min() >= 0 and self.intensity.max() <= 1):
            raise _error(self, "intensity must lie in 0..1, also where points are invalid")
        if not -(2**63) <= self.timestamp_ns < 2**63:
            raise _error(self, f"its time is {self.timestamp_ns} ns, expected 64 bits")
        if self.origin.size and np.nanmax(np.abs(self.origin), initial=0) > FARTHEST_ORIGIN_M:
            raise _error(self, f"a ray starts more than {FARTHEST_ORIGIN_M:g} m from the sensor, or at infinity")
        _check_pose(self)

    def __len__(self) -> int:
        return len(self.xyz)


def is_rigid(transform: NDArray[np.float64]) -> bool:
    """Return whether a finite [4, 4] is a rotation and a translation."""
    rotation = transform[:3, :3]
    is_rotation = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) and np.linalg.det(rotation) > 0
    return bool(is_rotation and np.array_equal(transform[3], [0, 0, 0, 1]))


def _check_pose(sweep: Sweep) -> None:
    translation = sweep.world_SE3_sensor[:3, 3]
    if not np.abs(sweep.world_SE3_sensor).max() <= FARTHEST_POSE_M:  # NaN too
        raise _error(
            sweep,
            f"its pose, world_SE3_sensor, is at {translation.tolist()}; expected finite numbers up to "
            f"{FARTHEST_POSE_M:g} m. Check the poses and the calibration",
        )
    if not is_rigid(sweep.world_SE3_sensor):
        raise _error(sweep, "world_SE3_sensor must be a rotation and a translation")


def _expect(sweep: Sweep, name: str, dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    array = getattr(sweep, name)
    if array is not None and (array.dtype != dtype or array.shape != shape):
        found = f"{array.dtype} {list(array.shape)}"
        raise _error(sweep, f"{name} must be {np.dtype(dtype)} {list(shape)}, not {found}")


def _error(sweep: Sweep, what: str) -> SweepError:
    return SweepError(f"sequence {sweep.sequence}, sweep {sweep.name}: {what}", len(sweep))
