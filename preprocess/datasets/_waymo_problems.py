"""Check the files of a Waymo context without decoding points: footers, columns, keys, shapes, small tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from iscc_lidar.preprocess.datasets import _waymo_tables as tables
from iscc_lidar.preprocess.datasets._waymo_tables import TOP, laser_name
from iscc_lidar.preprocess.datasets.registry import DataProblem
from iscc_lidar.shared.base.errors import UserError

PURPOSES: Final = {
    "lidar": "the points",
    "lidar_calibration": "mounts and beam inclinations of the LiDARs",
    "lidar_pose": "the vehicle's motion during a sweep",
    "vehicle_pose": "the vehicle's poses, to stack sweeps",
}
"""The required components and what each contains."""

_IMAGES: Final = {"lidar": tables.LIDAR, "lidar_pose": tables.POSE, "lidar_segmentation": tables.LABELS}
_READERS: Final[Mapping[str, Callable[[Path], object]]] = {
    "lidar_calibration": tables.calibrations,
    "vehicle_pose": tables.vehicle_poses,
    "lidar_box": tables.boxes,
}
"""What reads a component's table; tables.image_rows reads the others'."""


def find_problems(files: Mapping[str, Path], returns: int, *, nominal_pose: bool = False) -> Iterator[DataProblem]:
    """Find all that would stop preprocessing a context.

    Args:
        files: by component.
        returns: how many are read of each pixel.
        nominal_pose: the vehicle's pose is used where TOP's pixels have none.
    """
    readable: set[str] = set()
    for component, file in files.items():
        if not file.exists():
            yield DataProblem(
                f"{file}: missing; component {component} contains {PURPOSES.get(component, 'labels')}. Fetch it: "
                f"pre-training needs only {', '.join(PURPOSES)}"
            )
            continue
        try:
            _READERS.get(component, tables.image_rows)(file)
            if component in _IMAGES:
                tables.image_columns(file, _IMAGES[component], returns)
            readable.add(component)
        except UserError as error:
            yield DataProblem(str(error))
    if "lidar" in readable:
        yield from _gaps({c: f for c, f in files.items() if c in readable and (c != "lidar_pose" or not nominal_pose)})


def _gaps(files: Mapping[str, Path]) -> Iterator[DataProblem]:
    """Find the frames of ``files``, those that can be read, that lack a range image or a pose, or have a wrong one."""
    rows = tables.image_rows(files["lidar"])
    frames = list(rows)
    if not rows:
        yield DataProblem(f"{files['lidar']}: contains no frame; fetch it again")
        return
    lasers = tables.lasers(files["lidar"])
    for laser in sorted(lasers):
        has_image = [laser in rows[frame] for frame in frames]
        yield from _missing(files["lidar"], f"range image of {laser_name(laser)}", has_image, frames)
    if "lidar_calibration" in files:
        for laser in sorted(lasers - tables.calibrations(files["lidar_calibration"]).keys()):
            yield DataProblem(f"{files['lidar_calibration']}: has no entry for {laser_name(laser)}; fetch it again")
    if "vehicle_pose" in files:
        poses = tables.vehicle_poses(files["vehicle_pose"])
        yield from _missing(files["vehicle_pose"], "pose", [frame in poses for frame in frames], frames)
        yield from poses.problems(frames)
    if "lidar_pose" in files:
        posed = tables.image_rows(files["lidar_pose"])
        has_poses = [TOP not in rows[frame] or TOP in posed.get(frame, ()) for frame in frames]
        yield from _missing(files["lidar_pose"], "poses of the pixels of TOP", has_poses, frames)
    if "lidar_box" in files:
        yield from tables.boxes(files["lidar_box"]).problems(frames)


def _missing(file: Path, what: str, there: list[bool], frames: list[int]) -> Iterator[DataProblem]:
    without = tuple(position for position, found in enumerate(there) if not found)
    if without:
        counted = f"{len(without)} of {len(frames)} frames, first {frames[without[0]]}"
        yield DataProblem(f"{file}: has no {what} for {counted}; fetch it again", without)
