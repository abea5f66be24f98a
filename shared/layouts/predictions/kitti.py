"""Detected boxes as KITTI's object benchmark wants them: a text file a frame, NNNNNN.txt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes, Camera
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import write_text
from iscc_lidar.shared.layouts.kitti_objects import format_objects, to_camera


def write_detections(
    out: Path, sequence: str, name: str, boxes: Boxes, score: NDArray[np.float64], camera: Camera | None
) -> None:
    """Write the boxes of a sweep, in the sensor frame, as ``out/NAME.txt``, in one step.

    Frames of the benchmark are sequences of one sweep, ``training_000008``; sweeps of other sequences go to
    ``out/SEQUENCE/NAME.txt``.

    Raises:
        UserError: there is no camera, in whose frame KITTI's files are.
    """
    if camera is None:
        raise UserError(f"sweep {sequence}/{name}: has no camera, which KITTI's result files need; leave them out")
    folder = out if sequence.startswith(("training_", "testing_")) else out / sequence
    write_text(folder / f"{name}.txt", format_objects(to_camera(boxes, camera, score)))
