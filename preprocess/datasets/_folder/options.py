"""Options of the adapter ``folder``: what "auto" and 0 leave to be found in the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.config import check_ranges, option

AUTO: Final = "auto"
NONE: Final = "none"
_LENGTHS: Final = {"lidar_in_pose_frame": 7, "ego_box": 6}


@dataclass(frozen=True)
class FolderOptions:
    """How the files of a folder are read; poses are an option of the command, ``--poses``."""

    format: str = option(AUTO, "suffix of the sweeps' files, as in pcd, where a folder contains several")
    topic: str = option(
        AUTO, "bags: topic of the point clouds, or of several LiDARs: /front,/rear; auto = the only one"
    )
    columns: str = option(
        AUTO, "names of the columns of .bin, .npy, .npz, as in x,y,z,intensity,ring,time; _ leaves one out"
    )
    number_type: Literal["auto", "float32", "float64", "float16", "big_endian_float32"] = option(
        "auto", "type of the numbers in .bin files"
    )
    axes: str = option(
        AUTO, "axes of the file that point forward, left and up: x,y,z, or z,-x,-y for those of a camera"
    )
    range_scale: float = option(0.0, "metres per unit of the coordinates; 0 = find it", at_least=0, at_most=1e6)
    intensity_field: str = option(AUTO, "column with the intensity; none = all 0")
    intensity_scale: float = option(0.0, "intensity that becomes 1; 0 = find it", at_least=0, at_most=1e9)
    time_field: str = option(AUTO, "column with the time of each point; none = points are not deskewed")
    time_unit_s: float = option(0.0, "seconds per unit of the points' times; 0 = find it", at_least=0, at_most=1)
    deskew: Literal["auto", "on", "off"] = option(
        "auto", "move points to where they are at the sweep's time; auto = if they have times. off: already done"
    )
    label_field: str = option(AUTO, "column with the class of each point")
    rate_hz: float = option(
        10.0, "sweeps per second, where neither names nor times.txt give times", above=0, at_most=1e3
    )
    lidar_in_pose_frame: tuple[float, ...] = option(
        (),
        "x,y,z,qx,qy,qz,qw of the LiDAR in the frame whose poses are given, as an IMU's; empty = they are the LiDAR's",
    )
    ego_box: tuple[float, ...] = option(
        (), "x,y,z of two corners, m forward, left, up of the LiDAR: points in it are the ego vehicle's, and ignored"
    )

    def __post_init__(self) -> None:
        """Raise ValueError for an option out of its range, or of another form."""
        check_ranges(self, "")
        for name, length in _LENGTHS.items():
            if len(getattr(self, name)) not in (0, length):
                raise ValueError(f"{name} must be a list of {length} numbers, as in [1, 0, 0.5, ...]")
        if self.axes != AUTO:
            sensor_axes(self.axes)
        if self.columns != AUTO and not {"x", "y", "z"} <= set(self.column_names):
            raise ValueError(f"columns must name x, y and z, as in x,y,z,intensity, not {self.columns!r:.60}")

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns; () where they are to be found."""
        return () if self.columns == AUTO else tuple(name.strip().lower() for name in self.columns.split(","))


def sensor_axes(axes: str) -> NDArray[np.float64]:
    """Return the rotation [3, 3] from the file's axes to forward, left, up. Raises ValueError where it is none."""
    rotation = np.zeros((3, 3))
    parts = [part.strip() for part in axes.split(",")]
    for row, part in enumerate(parts[:3]):
        if part.lstrip("+-") in ("x", "y", "z"):
            rotation[row, "xyz".index(part.lstrip("+-"))] = -1.0 if part.startswith("-") else 1.0
    if len(parts) != 3 or round(np.linalg.det(rotation)) != 1:
        raise ValueError(f"axes must be three axes of a right-handed frame, as in x,y,z or z,-x,-y, not {axes!r:.60}")
    return rotation
