"""Write KITTI raw drives and frames of the object benchmark, laid out as their archives are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DATE, DRIVE = "2011_09_26", "2011_09_26_drive_0005_sync"
# A yaw of 90 degrees and a lever arm; the real one differs from identity by less.
CALIBRATION = "calib_time: 25-May-2012 16:47:16\nR: 0 -1 0 1 0 0 0 0 1\nT: -0.8 0.3 -0.8\n"


def packet(frame: int) -> list[float]:
    """Thirty values of a car that drives a bend near Karlsruhe: lat, lon, alt, roll, pitch, yaw, then the others."""
    pose = [49.0 + 2e-5 * frame, 8.4 + 1e-5 * frame, 112 + 0.1 * frame, 0.01 * frame, -0.02 * frame, 1 + 0.1 * frame]
    return [*pose, *([0.5] * 19), 4, 10, 4, 4, 0]


def time_line(frame: int) -> str:
    return f"2011-09-26 13:02:{25 + frame // 10:02d}.{frame % 10}94360375"


def write_points(path: Path, points: int, seed: int = 0) -> NDArray[np.float32]:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.random.default_rng(seed).random((points, 4), dtype=np.float32)
    rows.tofile(path)
    return rows


def write_drive(
    root: Path, frames: int = 5, without: tuple[int, ...] = (), points: int = 7, drive: str = DRIVE
) -> Path:
    """A drive as its archive lays it out; frames ``without`` a sweep have a packet and a blank line of time."""
    folder = root / drive[:10] / drive
    (folder / "oxts" / "data").mkdir(parents=True)
    (folder / "velodyne_points" / "data").mkdir(parents=True)
    (root / drive[:10] / "calib_imu_to_velo.txt").write_text(CALIBRATION)
    for frame in range(frames):
        text = " ".join(repr(value) for value in packet(frame))
        (folder / "oxts" / "data" / f"{frame:010d}.txt").write_text(text + "\n")
        if frame not in without:
            write_points(folder / "velodyne_points" / "data" / f"{frame:010d}.bin", points, frame)
    lines = ["" if frame in without else time_line(frame) for frame in range(frames)]
    (folder / "velodyne_points" / "timestamps.txt").write_text("\n".join(lines) + "\n")
    (folder / "oxts" / "timestamps.txt").write_text("\n".join(map(time_line, range(frames))) + "\n")
    return folder


def write_object(root: Path, training: tuple[int, ...] = (0, 8), testing: tuple[int, ...] = (8,)) -> None:
    for part, frames in (("training", training), ("testing", testing)):
        for frame in frames:
            write_points(root / part / "velodyne" / f"{frame:06d}.bin", 5, frame)
