"""Write the procedural dataset in SemanticKITTI's layout."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Camera
from iscc_lidar.preprocess.synthetic.boxes import boxes_in_image
from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.sensor import sweep
from iscc_lidar.preprocess.synthetic.street import build_street
from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.config import to_dict
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.geometry import euler_rotation, inverse
from iscc_lidar.shared.base.text import one_line
from iscc_lidar.shared.layouts.formats.kitti_objects import IMAGE_SIZE, format_objects, to_camera

_PROJECTION: Final = np.array([[700.0, 0, 600, 0], [0, 700, 180, 0], [0, 0, 1, 0]])
_STAMP_FILE: Final = "synthetic.json"
_PART: Final = re.compile(r"\.[0-9]+\.[0-9]+\.part")
WORLD_VERSION = 2
"""Raise this whenever the same configuration gives other bytes than before."""


def sequence_name(config: SynthConfig, index: int) -> str:
    """Return the folder name of a sequence: two digits as in KITTI, more if there are more than 100 sequences."""
    return f"{index:0{max(2, len(str(config.sequences - 1)))}d}"


def write_sequence(root: Path, config: SynthConfig, index: int) -> Path:
    """Write ``root/sequences/NN/{velodyne,labels,label_2,poses.txt,calib.txt,times.txt}`` for one street.

    Sequences are independent: any number of processes can write them. A sequence that exists already, made by the same
    options, is kept. It is written to a temporary folder and renamed, so that an interrupted one is never taken for
    finished.

    Returns:
        The sequence's folder.

    Raises:
        UserError: the folder contains something else than this configuration's sequence.
    """
    folder = root / "sequences" / sequence_name(config, index)
    # A sequence does not depend on the number of sequences.
    options = {key: value for key, value in to_dict(config).items() if key != "sequences"}
    stamp = {"world_version": WORLD_VERSION, "sequence": index, "config": options}
    if folder.exists():
        _refuse_other(folder, stamp)
        return folder
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    files.remove(temporary)  # never written through a link that lies there
    _write(temporary, config, index)
    (temporary / _STAMP_FILE).write_text(json.dumps(stamp, indent=1, sort_keys=True) + "\n")
    try:
        temporary.rename(folder)
    except OSError:  # another process was faster
        files.remove(temporary)
        _refuse_other(folder, stamp)
    return folder


def refuse_foreign(root: Path) -> None:
    """Raise UserError unless a folder is missing, empty, or contains only procedural sequences, by their stamps."""
    if root.exists() and not root.is_dir():
        raise UserError(f"{root}: is a file, expected a folder")
    inside = sorted(path for path in root.glob("*") if path.name != "sequences")
    sequences = sorted(path for path in root.glob("sequences/*") if not _PART.fullmatch(path.name))
    foreign = inside + [path for path in sequences if not (path / _STAMP_FILE).is_file()]
    if foreign:
        raise UserError(
            f"{root}: contains {one_line(foreign[0].relative_to(root))}, which iscc-preprocess synth did not write; "
            "choose an empty or new folder"
        )


def _refuse_other(folder: Path, stamp: dict[str, object]) -> None:
    try:
        found = json.loads((folder / _STAMP_FILE).read_text())
    except (OSError, json.JSONDecodeError):
        found = None
    if found != stamp:
        raise UserError(
            f"{folder}: contains a sequence that was not made by these options; pass an empty folder, or remove it"
        )


def _write(folder: Path, config: SynthConfig, index: int) -> None:
    (folder / "velodyne").mkdir(parents=True)
    (folder / "labels").mkdir()
    (folder / "label_2").mkdir()
    camera_SE3_velo = _camera_SE3_velo(np.random.default_rng([config.seed, index, 4]))
    camera = Camera(_PROJECTION, camera_SE3_velo, *IMAGE_SIZE)
    street, poses = build_street(config, index), []
    for number in range(config.sweeps):
        made = sweep(street, config, index, number)
        made.points.astype("<f4").tofile(folder / "velodyne" / f"{number:06d}.bin")
        made.label.astype("<u4").tofile(folder / "labels" / f"{number:06d}.label")
        boxes = to_camera(boxes_in_image(street, config, number, made, camera), camera)
        (folder / "label_2" / f"{number:06d}.txt").write_text(format_objects(boxes))
        poses.append(made.world_SE3_sensor)
    first_SE3_world = inverse(poses[0])
    rows = [camera_SE3_velo @ first_SE3_world @ pose @ inverse(camera_SE3_velo) for pose in poses]
    (folder / "poses.txt").write_text("".join(_row(pose) + "\n" for pose in rows))
    (folder / "calib.txt").write_text(_calibration(camera_SE3_velo))
    (folder / "times.txt").write_text("".join(f"{n / config.sweep_rate_hz:.6e}\n" for n in range(config.sweeps)))


def _camera_SE3_velo(rng: np.random.Generator) -> NDArray[np.float64]:
    # Camera axes are right, down, forward; a mount is never exact.
    camera_SE3_velo = np.eye(4)
    axes = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
    camera_SE3_velo[:3, :3] = euler_rotation(*rng.normal(0, 0.01, 3)) @ axes
    camera_SE3_velo[:3, 3] = rng.normal((0.0, -0.08, -0.27), 0.01)
    return camera_SE3_velo


def _calibration(camera_SE3_velo: NDArray[np.float64]) -> str:
    # The one camera, whose image the boxes are labelled in, four times: readers of KITTI expect four.
    lines = [f"P{i}: {_row(_PROJECTION)}" for i in range(4)]
    return "\n".join([*lines, f"Tr: {_row(camera_SE3_velo)}"]) + "\n"


def _row(matrix: NDArray[np.float64]) -> str:
    return " ".join(f"{value:.12e}" for value in matrix[:3].ravel())
