"""Boxes of a cache as the objects that are scored: in the camera's frame, as KITTI's evaluation has them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes, Camera
from iscc_lidar.shared.layouts.formats.kitti_objects import KittiObjects, to_camera
from iscc_lidar.trainer.evaluation.detection.objects import Detections, Labels, UprightBoxes

_WHOLE_IMAGE = np.array([0.0, 0.0, 1e4, 1e4])


def labels_of(boxes: Boxes, camera: Camera | None, frame: int) -> Labels:
    """Labelled boxes of a sweep. Without a camera none is too low in the image, truncated or occluded."""
    number = np.full(len(boxes), frame, np.int64)
    if camera is None:
        nought = np.zeros(len(boxes))
        image = np.tile(_WHOLE_IMAGE, (len(boxes), 1))
        return Labels(number, boxes.kind, _in_sensor(boxes), image, nought, nought.astype(np.int64))
    found = to_camera(boxes, camera)
    return Labels(
        number, boxes.kind, _in_camera(found), found.image_box, found.truncation, found.occlusion.astype(np.int64)
    )


def detections_of(boxes: Boxes, score: NDArray[np.float64], camera: Camera | None, frame: int) -> Detections:
    """Detected boxes of a sweep."""
    number = np.full(len(boxes), frame, np.int64)
    if camera is None:
        return Detections(number, boxes.kind, _in_sensor(boxes), np.tile(_WHOLE_IMAGE, (len(boxes), 1)), score)
    found = to_camera(boxes, camera)
    return Detections(number, boxes.kind, _in_camera(found), found.image_box, score)


def _in_camera(objects: KittiObjects) -> UprightBoxes:
    # Right and forward are the ground, up is against y; rotation_y turns from right to backward.
    low = -objects.location[:, 1]
    return UprightBoxes(
        objects.location[:, [0, 2]], objects.size[:, [2, 1]], -objects.rotation_y, low, low + objects.size[:, 0]
    )


def _in_sensor(boxes: Boxes) -> UprightBoxes:
    half = boxes.size[:, 2] / 2
    return UprightBoxes(
        boxes.centre[:, :2], boxes.size[:, :2], boxes.heading, boxes.centre[:, 2] - half, boxes.centre[:, 2] + half
    )
