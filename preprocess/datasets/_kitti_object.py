"""Frames of KITTI's object detection benchmark: ``ROOT/{training,testing}/velodyne/NNNNNN.bin``.

The frames are drawn from many drives and are unrelated: each is a sequence of one sweep, named
``training_000008``, with the identity as its pose. Boxes of ``label_2`` and the camera of ``calib``
are read where there is a folder ``label_2``; testing frames have none.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from iscc_lidar.data_schemas.boxes import Boxes, Camera
from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.datasets._files import complaints, count_rows, png_size, read_rows
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.layouts.formats.kitti_objects import IMAGE_SIZE, read_camera, read_objects, to_sensor

PARTS: Final = ("training", "testing")
_LISTS: Final = {"train": "training", "val": "training", "trainval": "training", "test": "testing"}


def is_frame(sequence: str) -> bool:
    """Whether a sequence's name is one of this layout's."""
    return sequence.partition("_")[0] in PARTS


def frames(root: Path) -> tuple[str, ...]:
    """Names of the sequences, sorted. Raises UserError for a file that is not named by a frame number."""
    names = []
    for part in PARTS:
        for file in (root / part / "velodyne").glob("*.bin"):
            if not file.stem.isdecimal():
                raise UserError(f"{file}: expected a frame number as the file's name, as in 000042.bin")
            names.append(f"{part}_{file.stem}")
    return tuple(sorted(names))


def points_file(root: Path, sequence: str) -> Path:
    """The only file that a sequence consists of."""
    part, _, frame = sequence.partition("_")
    return root / part / "velodyne" / f"{frame}.bin"


def box_files(root: Path, sequence: str) -> tuple[Path, Path, Path] | None:
    """Labels, calibration and image of a frame, there or not; None where its part has no labels at all."""
    part, _, frame = sequence.partition("_")
    folder = root / part
    if not (folder / "label_2").is_dir():
        return None
    return folder / "label_2" / f"{frame}.txt", folder / "calib" / f"{frame}.txt", folder / "image_2" / f"{frame}.png"


def input_files(root: Path, sequence: str) -> tuple[Path, ...]:
    """Files whose content a sequence's sweep depends on."""
    return (points_file(root, sequence), *(file for file in box_files(root, sequence) or () if file.exists()))


def splits(root: Path) -> dict[str, tuple[str, ...]]:
    """The frames that ``ImageSets`` lists, there or not: ``problems`` names those without a sweep.

    Where there is no list, those that are there of ``training`` and ``testing``.
    """
    files = {split: root / "ImageSets" / f"{split}.txt" for split in _LISTS}
    lists = {split: _read_list(file, _LISTS[split]) for split, file in files.items() if file.exists()}
    if lists:
        return {split: tuple(sorted(names)) for split, names in lists.items()}
    there = frames(root)
    parts = {part: tuple(name for name in there if name.startswith(part)) for part in PARTS}
    return {part: names for part, names in parts.items() if names}


def read(root: Path, sequence: str) -> Sweep:
    """Read a sequence's only sweep. Raises UserError for a missing or damaged file."""
    points = read_rows(points_file(root, sequence), columns=4)
    boxes, camera = _boxes(root, sequence)
    return Sweep(
        sequence=sequence,
        name=points_file(root, sequence).stem,
        timestamp_ns=0,
        xyz=np.ascontiguousarray(points[:, :3]),
        intensity=np.clip(np.nan_to_num(points[:, 3]), 0, 1),
        origin=np.zeros((1, 3), dtype=np.float32),
        world_SE3_sensor=np.eye(4),
        boxes=boxes,
        camera=camera,
    )


def _boxes(root: Path, sequence: str) -> tuple[Boxes, Camera] | tuple[None, None]:
    files = box_files(root, sequence)
    if files is None:
        return None, None
    labels, calibration, image = files
    camera = read_camera(calibration, png_size(image) if image.exists() else IMAGE_SIZE)
    return to_sensor(read_objects(labels), camera), camera


def problems(root: Path, sequence: str) -> Iterator[str]:
    """A missing file, one whose size cannot be right, and labels that cannot be read."""
    if not points_file(root, sequence).exists():
        yield f"{points_file(root, sequence)}: missing, a list in {root / 'ImageSets'} names it; unpack velodyne again"
        return
    yield from complaints([partial(count_rows, points_file(root, sequence), 4), partial(_boxes, root, sequence)])


def broken_links(root: Path) -> Iterator[str]:
    """``velodyne`` folders that are none: links to nowhere, and links that were copied as small text files."""
    for part in PARTS:
        velodyne = root / part / "velodyne"
        if velodyne.is_file():
            yield f"{velodyne} is a file, expected a folder or a link to one"
        elif velodyne.is_symlink() and not velodyne.exists():
            yield f"{velodyne} is a link to {velodyne.readlink()}, which is not there"


def _read_list(path: Path, part: str) -> frozenset[str]:
    frames = path.read_text(encoding="utf-8").split()
    bad = [frame for frame in frames if not frame.isdecimal()]
    if bad:
        raise UserError(f"{path}: expected one frame number a line, found {bad[0]!r}")
    return frozenset(f"{part}_{frame}" for frame in frames)
