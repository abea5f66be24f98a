"""Check the files of a Waymo context without decoding points: footers, columns, keys, shapes, small tables."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from iscc_lidar.preprocess.datasets import _waymo_tables as tables
from iscc_lidar.preprocess.datasets._waymo_tables import TOP, laser_name
from iscc_lidar.shared.base.errors import UserError

PURPOSES: Final = {
    "lidar": "the points",
    "lidar_calibration": "mounts and beam inclinations of the LiDARs",
    "lidar_pose": "the vehicle's motion during a sweep",
    "vehicle_pose": "the vehicle's poses, to stack sweeps",
}
"""The required components and what each contains."""

_IMAGES: Final = {"lidar": tables.LIDAR, "lidar_pose": tables.POSE, "lidar_segmentation": tables.LABELS}


def find_problems(files: Mapping[str, Path], returns: int) -> Iterator[str]:
    """Find all that would stop preprocessing a context: ``files`` by component, and the number of returns to read."""
    keys: dict[str, Mapping[int, object]] = {}
    for component, file in files.items():
        if not file.exists():
            yield (
                f"{file}: missing; component {component} contains {PURPOSES.get(component, 'labels')}. Fetch it: "
                f"pre-training needs only {', '.join(PURPOSES)}"
            )
            continue
        try:
            keys[component] = _keys(component, file)
            if component in _IMAGES:
                tables.image_columns(file, _IMAGES[component], returns)
        except UserError as error:
            yield str(error)
    if "lidar" in keys:
        yield from _gaps(files, keys)


def _keys(component: str, file: Path) -> Mapping[int, object]:
    """Read the keys of a component: lasers of the calibration, frames of the others."""
    if component == "lidar_calibration":
        return tables.calibrations(file)
    if component == "lidar_box":
        return tables.boxes(file)
    return tables.vehicle_poses(file) if component == "vehicle_pose" else tables.image_rows(file)


def _gaps(files: Mapping[str, Path], keys: Mapping[str, Mapping[int, object]]) -> Iterator[str]:
    rows = tables.image_rows(files["lidar"])
    if not rows:
        yield f"{files['lidar']}: contains no frame; fetch it again"
    lasers = {TOP}.union(*rows.values())
    for laser in sorted(lasers) if rows else ():
        without = [frame for frame, found in rows.items() if laser not in found]
        yield from _missing(files["lidar"], f"range image of {laser_name(laser)}", without, rows)
    for laser in sorted(lasers - keys.get("lidar_calibration", dict.fromkeys(lasers)).keys()):
        yield f"{files['lidar_calibration']}: has no entry for {laser_name(laser)}; fetch it again"
    if "vehicle_pose" in keys:
        without = [frame for frame in rows if frame not in keys["vehicle_pose"]]
        yield from _missing(files["vehicle_pose"], "pose", without, rows)
    if "lidar_pose" in keys:
        posed = tables.image_rows(files["lidar_pose"])
        without = [frame for frame, found in rows.items() if TOP in found and TOP not in posed.get(frame, ())]
        yield from _missing(files["lidar_pose"], "poses of the pixels of TOP", without, rows)


def _missing(file: Path, what: str, without: list[int], frames: Collection[int]) -> Iterator[str]:
    if without:
        yield f"{file}: has no {what} for {len(without)} of {len(frames)} frames, first {without[0]}; fetch it again"
