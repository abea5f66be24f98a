"""KITTI: raw recordings and object detection benchmark, with the benchmark's files of detected boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.layouts.layout import BoxRule, Layout

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from iscc_lidar.data_schemas.boxes import Boxes, Camera
    from iscc_lidar.shared.base.own import OwnFolder

LAYOUT: Final = Layout(
    name="kitti",
    description="KITTI raw and object layouts: ROOT/DATE/DATE_drive_NNNN_sync/{velodyne_points,oxts}, "
    "ROOT/training/velodyne",
    how_to_get="KITTI is at cvlibs.net/datasets/kitti (CC BY-NC-SA 3.0, registration). Raw: of each drive the archive "
    "'synced+rectified data' (velodyne_points and oxts are used, image_* may be left out) and of each date "
    "'calibration' (calib_imu_to_velo.txt). Object: 'Velodyne point clouds' (data_object_velodyne.zip, 29 GB); "
    "ImageSets/{train,val,trainval,test}.txt, one frame number per line, are optional and not part of the download",
    box_rules=(
        BoxRule("Car", "Van", 0.7),
        BoxRule("Pedestrian", "Person_sitting", 0.5),
        BoxRule("Cyclist", None, 0.5),
    ),
)


def write_detections(
    out: OwnFolder, sequence: str, name: str, boxes: Boxes, score: NDArray[np.float64], camera: Camera | None
) -> None:
    """Write the detected boxes of a sweep, in the sensor frame, as ``out/NAME.txt``, in one step.

    Frames of the benchmark are sequences of one sweep, ``training_000008``; sweeps of other sequences go to
    ``out/SEQUENCE/NAME.txt``. Raises UserError without a camera.
    """
    from iscc_lidar.shared.layouts.formats.kitti_objects import format_objects, to_camera

    camera = refuse_without_camera(sequence, name, camera)
    folder = "" if sequence.startswith(("training_", "testing_")) else f"{sequence}/"
    out.write(f"{folder}{name}.txt", format_objects(to_camera(boxes, camera, score)).encode())


def refuse_without_camera(sequence: str, name: str, camera: Camera | None) -> Camera:
    """Return the camera of a sweep. Raises UserError if there is none: KITTI's files of boxes are in its frame."""
    if camera is None:
        raise UserError(
            f"sweep {sequence}/{name}: has no camera, in whose frame KITTI's files of boxes are (with label_2 and "
            "calib have one); leave them out with --sequences, or find boxes from Python, in the sensor's frame: "
            "iscc_lidar.load_model(RUN)(points)"
        )
    return camera
