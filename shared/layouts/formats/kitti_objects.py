"""Objects in KITTI's files, one per line in the frame of a camera, and their conversion to the sensor frame.

A line is: class, truncation, occlusion, alpha, box in the image (left, top, right, bottom), height, width, length,
centre of the lower face (x, y, z) in the rectified frame of camera 2, rotation_y; in results also the score. The
camera's axes are x right, y down, z forward; rotation_y turns the heading from x towards -z.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes, Camera, box_corners
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_lines
from iscc_lidar.shared.base.geometry import inverse, transform

DONT_CARE: Final = "DontCare"
IMAGE_SIZE: Final = (1242, 375)
"""Width and height of most of KITTI's images, for frames without the image itself."""
VIRTUAL_CAMERA: Final = Camera(
    np.array([(700.0, 0, 621, 0), (0, 700, 187.5, 0), (0, 0, 1, 0)]),
    np.array([(0.0, -1, 0, 0), (0, 0, -1, 0), (1, 0, 0, 0), (0, 0, 0, 1)]),
    *IMAGE_SIZE,
)
"""For sweeps without a camera: at the sensor, looks along its x, level with it; focal length 700 pixels."""
_COLUMNS: Final = 15
_MAX: Final = 1e8  # pixels or metres, beyond any
_CLASSES: Final = ("Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc", DONT_CARE)
_BY_LOWER: Final = {name.lower(): name for name in _CLASSES}  # KITTI's evaluation compares without case
_MATRICES: Final = {"P2": (3, 4), "R0_rect": (3, 3), "Tr_velo_to_cam": (3, 4)}
_ODOMETRY: Final = {"P2": (3, 4), "Tr": (3, 4)}


@dataclass(frozen=True)
class KittiObjects:
    """The N objects of one file.

    Attributes:
        kind: str [N], class.
        truncation: float64 [N].
        occlusion: int32 [N].
        alpha: float64 [N], heading relative to the ray to the object, radians.
        image_box: float64 [N, 4], pixels.
        size: float64 [N, 3], height, width, length, metres.
        location: float64 [N, 3], centre of the lower face, camera frame, metres.
        rotation_y: float64 [N], radians.
        score: float64 [N] in results, else None.
    """

    kind: NDArray[np.str_]
    truncation: NDArray[np.float64]
    occlusion: NDArray[np.int32]
    alpha: NDArray[np.float64]
    image_box: NDArray[np.float64]
    size: NDArray[np.float64]
    location: NDArray[np.float64]
    rotation_y: NDArray[np.float64]
    score: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.kind)


def read_objects(path: Path, *, scored: bool = False) -> KittiObjects:
    """Read a file of labels, or of results with scores; KITTI's classes may be in any case.

    Raises UserError if it is missing or a line is invalid; the message names the line.
    """
    try:
        lines = read_lines(path)
    except FileNotFoundError:
        raise UserError(f"{path}: missing; label_2 has a file for every frame, unpack it again") from None
    rows = [_parsed(path, number, line, scored) for number, line in enumerate(lines, 1) if line.strip()]
    kinds = np.array([kind for kind, _ in rows], dtype=np.str_)
    values = np.array([numbers for _, numbers in rows], dtype=np.float64).reshape(len(rows), _COLUMNS - 1 + scored)
    return KittiObjects(
        kinds,
        values[:, 0],
        values[:, 1].astype(np.int32),
        values[:, 2],
        values[:, 3:7],
        values[:, 7:10],
        values[:, 10:13],
        values[:, 13],
        values[:, 14] if scored else None,
    )


def _parsed(path: Path, number: int, line: str, scored: bool) -> tuple[str, list[float]]:
    kind, *rest = line.split()
    kind = _BY_LOWER.get(kind.lower(), kind)
    expected = _COLUMNS - 1 + scored
    where = f"{path}, line {number}"
    if len(rest) != expected:
        raise UserError(
            f"{where}: {len(rest) + 1} columns, expected {expected + 1} (class, truncation, occlusion, alpha, box "
            f"in the image, height, width, length, x, y, z, rotation_y{', score' if scored else ''}); correct it"
        )
    try:
        values = [float(text) for text in rest]
    except ValueError:
        raise UserError(f"{where}: expected numbers after the class, found {line.strip()!r}") from None
    if not np.isfinite(values).all():
        raise UserError(f"{where}: a number is not finite: {line.strip()!r}; correct or remove the line")
    if kind != DONT_CARE and min(values[7:10]) <= 0:
        raise UserError(f"{where}: height, width and length of a {kind} must be positive, are {values[7:10]}")
    return kind, values


def format_objects(objects: KittiObjects) -> str:
    """Format objects as the lines of a file."""
    numbers = np.column_stack([objects.alpha, objects.image_box, objects.size, objects.location, objects.rotation_y])
    scores = [""] * len(objects) if objects.score is None else [f" {value:.6f}" for value in objects.score]
    return "".join(
        f"{kind} {truncation:.2f} {occlusion:d} {' '.join(f'{value:.4f}' for value in row)}{score}\n"
        for kind, truncation, occlusion, row, score in zip(
            objects.kind, objects.truncation, objects.occlusion, numbers, scores, strict=True
        )
    )


def format_tracks(frame: int, track: NDArray[np.int32], objects: KittiObjects) -> str:
    """Format the objects of a frame as lines of a tracking file: frame, track, class, ..., as ``format_objects``.

    Truncation, there an integer, is -1: not known.
    """
    lines = (line.split(" ", 3) for line in format_objects(objects).splitlines())
    return "".join(
        f"{frame} {number} {kind} -1 {occlusion} {rest}\n"
        for number, (kind, _, occlusion, rest) in zip(track.tolist(), lines, strict=True)
    )


def format_calibration(camera: Camera, *, tracking: bool = False) -> str:
    """Format a calibration file whose cameras are all this one; the tracking benchmark has other names in it."""
    image, sensor, unit = camera.image_P_camera.ravel(), camera.camera_SE3_sensor[:3].ravel(), np.eye(4)
    rows = [(f"P{number}:", image) for number in range(4)]
    if tracking:
        rows += [("R_rect", unit[:3, :3].ravel()), ("Tr_velo_cam", sensor), ("Tr_imu_velo", unit[:3].ravel())]
    else:
        rows += [("R0_rect:", unit[:3, :3].ravel()), ("Tr_velo_to_cam:", sensor), ("Tr_imu_to_velo:", unit[:3].ravel())]
    return "".join(f"{name} {' '.join(f'{value:.12e}' for value in row)}\n" for name, row in rows)


def read_camera(path: Path, image_size: tuple[int, int] = IMAGE_SIZE) -> Camera:
    """Read camera 2 from a calibration file of the object benchmark or of an odometry sequence.

    Raises UserError if the file or a matrix is missing.
    """
    try:
        lines = read_lines(path)
    except FileNotFoundError:
        raise UserError(f"{path}: missing; boxes cannot be placed in the sweep without it, unpack it again") from None
    entries = dict(line.split(":", 1) for line in lines if ":" in line)
    odometry = "Tr" in entries
    try:
        found = {
            name: np.array(entries[name].split(), dtype=np.float64).reshape(shape)
            for name, shape in (_ODOMETRY if odometry else _MATRICES).items()
        }
    except (KeyError, ValueError) as error:
        raise UserError(f"{path}: expected rows {', '.join(_MATRICES)} with 12 or 9 numbers ({error})") from None
    if not all((np.abs(matrix) < _MAX).all() for matrix in found.values()):
        raise UserError(f"{path}: a number is not finite, or too large; download it again")
    rectified, camera_SE3_sensor = np.eye(4), np.eye(4)
    camera_SE3_sensor[:3] = found["Tr" if odometry else "Tr_velo_to_cam"]
    rectified[:3, :3] = found.get("R0_rect", np.eye(3))
    return Camera(found["P2"], rectified @ camera_SE3_sensor, *image_size)


def to_sensor(objects: KittiObjects, camera: Camera) -> Boxes:
    """Convert objects to boxes in the sensor frame."""
    placed = objects.kind != DONT_CARE
    centre = objects.location.copy()
    centre[:, 1] -= objects.size[:, 0] / 2
    sensor_SE3_camera = inverse(camera.camera_SE3_sensor)
    along = np.stack([np.cos(objects.rotation_y), np.zeros(len(objects)), -np.sin(objects.rotation_y)], axis=1)
    heading = along @ sensor_SE3_camera[:3, :3].T
    return Boxes(
        objects.kind,
        np.where(placed[:, None], transform(sensor_SE3_camera, centre), np.nan),
        np.where(placed[:, None], objects.size[:, ::-1], np.nan),
        np.where(placed, np.arctan2(heading[:, 1], heading[:, 0]), np.nan),
        objects.truncation,
        objects.occlusion,
        objects.image_box,
    )


def to_camera(boxes: Boxes, camera: Camera, score: NDArray[np.float64] | None = None) -> KittiObjects:
    """Convert boxes in the sensor frame to objects; those without a position get KITTI's -1, -1000 and -10.

    Boxes without a box in the image get the box around their corners, clipped to the image.
    """
    placed = np.isfinite(boxes.heading)
    location = transform(camera.camera_SE3_sensor, np.nan_to_num(boxes.centre))
    location[:, 1] += np.nan_to_num(boxes.size[:, 2]) / 2
    along = np.stack([np.cos(boxes.heading), np.sin(boxes.heading), np.zeros(len(boxes))], axis=1)
    heading = np.nan_to_num(along) @ camera.camera_SE3_sensor[:3, :3].T
    rotation_y = np.arctan2(-heading[:, 2], heading[:, 0])
    turned = rotation_y - np.arctan2(location[:, 0], location[:, 2])
    alpha = np.arctan2(np.sin(turned), np.cos(turned))
    image_box = np.where(np.isfinite(boxes.image_box), boxes.image_box, image_boxes(boxes, camera))
    return KittiObjects(
        boxes.kind,
        np.where(np.isfinite(boxes.truncation), boxes.truncation, -1.0),
        boxes.occlusion,
        np.where(placed, alpha, -10.0),
        image_box,
        np.where(placed[:, None], boxes.size[:, ::-1], -1.0),
        np.where(placed[:, None], location, -1000.0),
        np.where(placed, rotation_y, -10.0),
        score,
    )


def image_boxes(boxes: Boxes, camera: Camera, *, cut: bool = True) -> NDArray[np.float64]:
    """Compute the image box around each box's corners in front of the camera, float64 [N, 4], pixels."""
    corners = box_corners(np.nan_to_num(boxes.centre), np.nan_to_num(boxes.size, nan=1.0), np.nan_to_num(boxes.heading))
    pixel, depth = camera.project(corners.reshape(-1, 3))
    pixel, ahead = pixel.reshape(-1, 8, 2), (depth > 0.1).reshape(-1, 8, 1)
    low = np.where(ahead, pixel, np.inf).min(axis=1, initial=np.inf)
    high = np.where(ahead, pixel, -np.inf).max(axis=1, initial=-np.inf)
    found = np.where(ahead.any(axis=1), np.concatenate([low, high], axis=1), 0.0)
    if not cut:
        return found
    edge = np.array([camera.width - 1, camera.height - 1] * 2, dtype=np.float64)
    within: NDArray[np.float64] = np.clip(found, 0.0, edge)
    return within
