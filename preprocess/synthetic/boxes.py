"""Boxes of the objects of a simulated sweep, as KITTI's annotators would label them in the image of a camera."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes, Camera, box_corners, boxes_in_space, image_area
from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.semantics import BICYCLIST, CAR, OTHER_VEHICLE, PERSON, TRUCK
from iscc_lidar.preprocess.synthetic.sensor import SynthSweep, elevations
from iscc_lidar.preprocess.synthetic.street import Street, world_SE3_objects
from iscc_lidar.shared.base.geometry import inverse
from iscc_lidar.shared.layouts.formats.kitti_objects import image_boxes

KITTI_CLASSES: Final = {CAR: "Car", PERSON: "Pedestrian", BICYCLIST: "Cyclist", TRUCK: "Truck"}
OTHER_CLASS: Final = "Misc"
"""KITTI's name of the other classes with an instance id."""
VAN_FROM_M: Final = 1.9
"""A car of at least this height is a "Van", as in KITTI's labels: vans count neither for nor against a detector."""
_FILL: Final = {CAR: 0.7, TRUCK: 0.8, OTHER_VEHICLE: 0.8, PERSON: 0.45}
_OTHER_FILL: Final = 0.35
"""Share of the rays towards an object's box that hit the unoccluded object."""
_VISIBLE: Final = (0.6, 0.3)
"""Smallest share of these for "not occluded" and "partly occluded"."""


def boxes_in_image(street: Street, config: SynthConfig, number: int, made: SynthSweep, camera: Camera) -> Boxes:
    """Label the objects that a sweep has a point of and whose centre the camera sees, sorted by distance."""
    things = street.things
    points = np.bincount((made.label >> 16).astype(np.int64), minlength=int(things.instance.max(initial=0)) + 1)
    poses = inverse(made.world_SE3_sensor) @ world_SE3_objects(street, number / config.sweep_rate_hz)[things.row]
    middle = (things.low + things.high) / 2
    centre = np.einsum("tij,tj->ti", poses[:, :3, :3], middle) + poses[:, :3, 3]
    size = things.high - things.low
    kind = np.array([KITTI_CLASSES.get(raw, OTHER_CLASS) for raw in things.raw.tolist()], dtype=np.str_)
    kind = np.where((kind == "Car") & (size[:, 2] >= VAN_FROM_M), "Van", kind)
    boxes = boxes_in_space(kind, centre, size, np.arctan2(poses[:, 1, 0], poses[:, 0, 0]))
    seen = np.flatnonzero((points[things.instance] > 0) & camera.sees(centre))
    seen = seen[np.argsort(np.linalg.norm(centre[seen], axis=1), kind="stable")]
    found = boxes.take(seen)
    uncut, cut = image_boxes(found, camera, cut=False), image_boxes(found, camera)
    share = points[things.instance[seen]] / np.maximum(_expected(found, things.raw[seen], config), 1.0)
    return replace(
        found,
        truncation=np.clip(1 - image_area(cut) / np.maximum(image_area(uncut), 1e-9), 0.0, 1.0).round(2),
        occlusion=np.where(share >= _VISIBLE[0], 0, np.where(share >= _VISIBLE[1], 1, 2)).astype(np.int32),
        image_box=cut.round(2),
    )


def _expected(boxes: Boxes, raw: NDArray[np.int64], config: SynthConfig) -> NDArray[np.float64]:
    """Estimate how many points each object would have if it were not occluded."""
    corners = box_corners(boxes.centre, boxes.size, boxes.heading)
    azimuth = np.arctan2(corners[..., 1], corners[..., 0])
    azimuth = np.angle(np.exp(1j * (azimuth - azimuth[:, :1])))  # relative to the first corner
    columns = np.ptp(azimuth, axis=1) / (2 * np.pi) * config.columns
    elevation = np.arctan2(corners[..., 2], np.hypot(corners[..., 0], corners[..., 1]))
    beams = elevations(config)
    between = (beams >= elevation.min(axis=1)[:, None]) & (beams <= elevation.max(axis=1)[:, None])
    fill = np.array([_FILL.get(class_id, _OTHER_FILL) for class_id in raw.tolist()])
    expected: NDArray[np.float64] = columns * between.sum(axis=1) * fill * (1 - config.dropout)
    return expected
