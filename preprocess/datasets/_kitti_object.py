"""Frames of KITTI's object detection benchmark: ``ROOT/{training,testing}/velodyne/NNNNNN.bin``.

The frames are from many drives and unrelated: each is a sequence of one sweep, named ``training_000008``, with the
identity as its pose. Boxes of ``label_2`` and the camera of ``calib`` are read where there is a folder ``label_2``;
testing frames have none.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from iscc_lidar.data_schemas.boxes import Boxes, Camera
from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.datasets._files import (
    by_number,
    count_rows,
    existing,
    png_size,
    read_kitti_points,
    visible_files,
)
from iscc_lidar.preprocess.datasets._problems import collect_problems
from iscc_lidar.preprocess.datasets.registry import DataProblem
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_text
from iscc_lidar.shared.layouts.formats.kitti_objects import IMAGE_SIZE, read_camera, read_objects, to_sensor

PARTS: Final = ("training", "testing")
_LISTS: Final = {"train": "training", "val": "training", "trainval": "training", "test": "testing"}


def is_frame(sequence: str) -> bool:
    """Return whether a sequence's name is one of this layout."""
    return sequence.partition("_")[0] in PARTS


def frames(root: Path) -> tuple[str, ...]:
    """List the names of the sequences, sorted. Raises UserError for a file whose name is not a frame number."""
    return tuple(sorted(f"{part}_{name}" for part in PARTS for name in _numbers(root / part / "velodyne")))


def _numbers(velodyne: Path) -> tuple[str, ...]:
    names = [file.stem for file in visible_files(velodyne, "*.bin")]
    return by_number(names, lambda name: f"{velodyne}/{name}.bin", "a frame number, as in 000042.bin,")


def points_file(root: Path, sequence: str) -> Path:
    """Return the file of a sequence's only sweep."""
    part, _, frame = sequence.partition("_")
    return root / part / "velodyne" / f"{frame}.bin"


def box_files(root: Path, sequence: str) -> tuple[Path, Path, Path] | None:
    """Return the files of labels, calibration and image, which may be missing; None if its part has no labels."""
    part, _, frame = sequence.partition("_")
    folder = root / part
    if not (folder / "label_2").is_dir():
        return None
    return folder / "label_2" / f"{frame}.txt", folder / "calib" / f"{frame}.txt", folder / "image_2" / f"{frame}.png"


def input_files(root: Path, sequence: str) -> tuple[Path, ...]:
    """Return the files that a sequence's sweep depends on."""
    return points_file(root, sequence), *existing(box_files(root, sequence) or ())


def splits(root: Path) -> dict[str, tuple[str, ...]]:
    """Return the frames listed in ``ImageSets``, some maybe without a sweep, which ``problems`` reports.

    Without lists, the frames found in ``training`` and ``testing``.
    """
    files = {split: root / "ImageSets" / f"{split}.txt" for split in _LISTS}
    lists = {split: _read_list(file, _LISTS[split]) for split, file in files.items() if file.exists()}
    if lists:
        return {split: tuple(sorted(names)) for split, names in lists.items()}
    available = frames(root)
    parts = {part: tuple(name for name in available if name.startswith(part)) for part in PARTS}
    return {part: names for part, names in parts.items() if names}


def read(root: Path, sequence: str) -> Sweep:
    """Read a sequence's only sweep. Raises UserError for a missing or damaged file."""
    xyz, intensity = read_kitti_points(points_file(root, sequence))
    boxes, camera = read_boxes(root, sequence)
    return Sweep(
        sequence=sequence,
        name=points_file(root, sequence).stem,
        timestamp_ns=0,
        xyz=xyz,
        intensity=intensity,
        origin=np.zeros((1, 3), dtype=np.float32),
        world_SE3_sensor=np.eye(4),
        boxes=boxes,
        camera=camera,
    )


def read_boxes(root: Path, sequence: str) -> tuple[Boxes, Camera] | tuple[None, None]:
    """Read the boxes of a sequence's only sweep and its camera; None without labels. Raises UserError for bad files."""
    files = box_files(root, sequence)
    if files is None:
        return None, None
    labels, calibration, image = files
    camera = read_camera(calibration, png_size(image) if image.exists() else IMAGE_SIZE)
    return to_sensor(read_objects(labels), camera), camera


def problems(root: Path, sequence: str) -> Iterator[DataProblem]:
    """Check that the file is there and of a possible size, and that the labels can be read."""
    points = points_file(root, sequence)
    if not points.exists():
        yield DataProblem(f"{points}: missing, but listed in {root / 'ImageSets'}; unpack velodyne again")
        return
    yield from collect_problems([partial(count_rows, points, 4), partial(read_boxes, root, sequence)])


def broken_links(root: Path) -> Iterator[str]:
    """Find ``velodyne`` folders that are broken links, or links that were copied as small text files."""
    for part in PARTS:
        velodyne = root / part / "velodyne"
        if velodyne.is_file():
            yield f"{velodyne} is a file, expected a folder or a link to one"
        elif velodyne.is_symlink() and not velodyne.exists():
            yield f"{velodyne} is a link to {velodyne.readlink()}, which does not exist"


def _read_list(path: Path, part: str) -> frozenset[str]:
    frames = read_text(path).split()
    bad = [frame for frame in frames if not (frame.isascii() and frame.isdecimal())]
    if bad:
        raise UserError(f"{path}: expected one frame number per line, found {bad[0]!r}")
    return frozenset(f"{part}_{frame}" for frame in frames)
