"""Write contexts in Waymo's v2 layout whose every point is known: a slow twin of the adapter's geometry.

A car drives and turns within a hollow sphere while its LiDARs spin. Each pixel's ray is placed in the world
by 4 x 4 matrices, one at a time, and ends on the sphere: the returns are known in the world.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]

CONTEXT = "key.segment_context_name"
TIME = "key.frame_timestamp_micros"
LASER = "key.laser_name"
RADIUS_M = {1: 40.0, 2: 43.0}
CENTRE = np.array([15_000.25, -8_000.5, 30.0])
SHAPES = {1: (7, 36), 2: (5, 16), 3: (4, 18), 4: (5, 20), 5: (3, 16)}


@dataclass(frozen=True)
class WaymoLayout:
    """Storage of the same rows in a file, as releases and writers differ in it."""

    row_group: int = 1000
    shuffled: bool = False
    index: bool = True
    fixed_size: bool = True
    float32_transforms: bool = False
    second_return: bool = True
    compression: str = "snappy"


@dataclass(frozen=True)
class WaymoScene:
    """Names of contexts by split folder, frames of each, shapes of the range images by laser."""

    contexts: dict[str, tuple[str, ...]] = field(default_factory=lambda: {"training": ("10_000_000",)})
    frames: int = 3
    shapes: dict[int, tuple[int, int]] = field(default_factory=lambda: dict(SHAPES))
    labelled_every: int = 2
    holes: float = 0.2
    seed: int = 0


@dataclass
class WaymoTruth:
    """Truth of one frame; points in the world and in the adapter's documented order, of both returns."""

    timestamp: int
    world_SE3_vehicle: np.ndarray
    mount: np.ndarray
    world: np.ndarray
    world_origin: np.ndarray
    intensity: np.ndarray
    pixel: np.ndarray
    semantic: np.ndarray | None
    instance: np.ndarray | None


def write_dataset(
    root: Path, scene: WaymoScene | None = None, layout: WaymoLayout | None = None
) -> dict[str, list[WaymoTruth]]:
    """Write all contexts of a scene below root; return the truth of each context's frames."""
    scene, layout = scene or WaymoScene(), layout or WaymoLayout()
    truth = {}
    for split, contexts in scene.contexts.items():
        for number, context in enumerate(contexts):
            rng = np.random.default_rng([scene.seed, number, len(split)])
            truth[context] = _write_context(root / split, context, scene, layout, rng)
    return truth


def write_boxes(root: Path, context: str, rows: list[tuple[int, int, tuple[float, ...]]]) -> Path:
    """Write a lidar_box component of (timestamp, type, center, size and heading in the vehicle frame)."""
    prefix = "[LiDARBoxComponent]"
    names = [*(f"center.{axis}" for axis in "xyz"), *(f"size.{axis}" for axis in "xyz"), "heading"]
    columns: dict[str, object] = {
        "key.segment_context_name": [context] * len(rows),
        "key.frame_timestamp_micros": [timestamp for timestamp, _, _ in rows],
        "key.laser_object_id": [f"object-{k}" for k in range(len(rows))],
        f"{prefix}.type": pa.array([label for _, label, _ in rows], pa.int8()),
    }
    columns |= {f"{prefix}.box.{name}": [values[k] for _, _, values in rows] for k, name in enumerate(names)}
    file = root / "training" / "lidar_box" / f"{context}.parquet"
    file.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), file)
    return file


def rotation(roll: float, pitch: float, yaw: float) -> np.ndarray:
    """Multiply Rz Ry Rx, written out as three matrices."""
    (cr, sr), (cp, sp), (cy, sy) = ((math.cos(a), math.sin(a)) for a in (roll, pitch, yaw))
    about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    about_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    turned: np.ndarray = about_z @ about_y @ about_x
    return turned


def rigid(roll: float, pitch: float, yaw: float, *translation: float) -> np.ndarray:
    """Return rotation and translation as one matrix [4, 4]."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(roll, pitch, yaw)
    matrix[:3, 3] = translation
    return matrix


EXTRINSICS = {
    1: rigid(0.01, -0.02, 2.6, 1.4, 0.0, 2.2),
    2: rigid(0.0, 0.03, 0.1, 4.0, 0.1, 0.7),
    3: rigid(-0.02, 0.0, 1.6, 3.2, 1.0, 0.9),
    4: rigid(0.02, 0.01, -1.5, 3.2, -1.0, 0.9),
    5: rigid(0.0, -0.01, 3.1, -1.1, 0.0, 0.5),
}


def inclinations_of_top(height: int) -> list[float]:
    """Return unevenly spread beams in radians, the lowest first."""
    return [-0.3 + 0.4 * ((i + 1) / height) ** 0.6 for i in range(height)]


def car_pose(seconds: float) -> tuple[float, ...]:
    """Return roll, pitch, yaw, x, y, z of the car: 12 m/s, turning."""
    yaw = 0.7 + 0.4 * seconds
    x, y = CENTRE[0] + 12 * seconds * math.cos(0.7), CENTRE[1] + 12 * seconds * math.sin(0.7)
    return 0.02 * math.sin(9 * seconds), 0.015 * math.cos(7 * seconds), yaw, x, y, CENTRE[2] - 1.5


def ray_of_pixel(laser: int, shape: tuple[int, int], row: int, column: int) -> np.ndarray:
    """Return the direction of a pixel in its laser's frame."""
    height, width = shape
    if laser == 1:
        inclination = inclinations_of_top(height)[height - 1 - row]
    else:
        inclination = -1.5 + (height - 1 - row + 0.5) / height * (0.5 - -1.5)
    extrinsic = EXTRINSICS[laser]
    ratio = (width - column - 0.5) / width
    azimuth = (ratio * 2 - 1) * math.pi - math.atan2(extrinsic[1, 0], extrinsic[0, 0])
    cosine = math.cos(inclination)
    return np.array([math.cos(azimuth) * cosine, math.sin(azimuth) * cosine, math.sin(inclination)])


def _write_context(
    folder: Path, context: str, scene: WaymoScene, layout: WaymoLayout, rng: np.random.Generator
) -> list[WaymoTruth]:
    rows: dict[str, list[Row]] = {"lidar": [], "lidar_pose": [], "vehicle_pose": [], "lidar_segmentation": []}
    truth = []
    for frame in range(scene.frames):
        timestamp = 1_550_083_467_346_370 + 100_003 * frame
        labelled = frame % scene.labelled_every == 0
        truth.append(_frame(rows, context, timestamp, 0.1 * frame, labelled, scene, layout, rng))
    rows["lidar_calibration"] = [calibration_row(context, laser, *scene.shapes[laser]) for laser in scene.shapes]
    for component, table_rows in rows.items():
        order = rng.permutation(len(table_rows)) if layout.shuffled else range(len(table_rows))
        write_table(folder / component / f"{context}.parquet", [table_rows[i] for i in order], layout)
    return truth


def _frame(
    rows: dict[str, list[Row]],
    context: str,
    timestamp: int,
    seconds: float,
    labelled: bool,
    scene: WaymoScene,
    layout: WaymoLayout,
    rng: np.random.Generator,
) -> WaymoTruth:
    world_SE3_vehicle = rigid(*car_pose(seconds))
    if layout.float32_transforms:
        world_SE3_vehicle = world_SE3_vehicle.astype(np.float32).astype(np.float64)
    rows["vehicle_pose"].append(
        {
            CONTEXT: context,
            TIME: timestamp,
            "[VehiclePoseComponent].world_from_vehicle.transform": world_SE3_vehicle.ravel().tolist(),
        }
    )
    points: list[tuple[Any, ...]] = []
    for laser, shape in scene.shapes.items():
        key = {CONTEXT: context, TIME: timestamp, LASER: laser}
        poses = rolling_poses(shape, seconds)
        images = {r: _range_image(laser, r, shape, poses, world_SE3_vehicle, scene, rng) for r in (1, 2)}
        labels = {r: rng.integers(0, 23, (*shape, 2)) for r in (1, 2)}
        rows["lidar"].append(key | _image_cells("LiDARComponent", {r: images[r][0] for r in images}))
        if laser == 1:
            rows["lidar_pose"].append(key | _image_cells("LiDARPoseComponent", {1: poses}))
            if labelled:
                rows["lidar_segmentation"].append(key | _image_cells("LiDARSegmentationLabelComponent", labels))
        for r, (image, hits, origins) in images.items():
            for row, column in np.argwhere(image[..., 0] > 0).tolist():
                instance, semantic = labels[r][row, column] if laser == 1 else (0, 0)
                cell = (laser, r, row, column)
                points.append(
                    (hits[row, column], origins[row, column], image[row, column, 1], cell, semantic, instance)
                )
    world, origin, intensity, pixel, semantic, instance = (
        list(values) for values in (zip(*points, strict=True) if points else [[]] * 6)
    )
    return WaymoTruth(
        timestamp,
        world_SE3_vehicle,
        EXTRINSICS[1][:3, 3],
        np.array(world).reshape(-1, 3),
        np.array(origin).reshape(-1, 3),
        np.array(intensity),
        np.array(pixel, dtype=np.uint16).reshape(-1, 4),
        np.array(semantic) if labelled else None,
        np.array(instance) if labelled else None,
    )


def rolling_poses(shape: tuple[int, int], seconds: float) -> np.ndarray:
    """Return roll, pitch, yaw, x, y, z of each pixel, float32 as in the files: a turn takes 0.1 s."""
    height, width = shape
    of_column = [car_pose(seconds + 0.1 * (column / width - 0.5)) for column in range(width)]
    return np.tile(np.array(of_column, dtype=np.float32), (height, 1, 1))


def _range_image(
    laser: int,
    number: int,
    shape: tuple[int, int],
    poses: np.ndarray,
    world_SE3_vehicle: np.ndarray,
    scene: WaymoScene,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make a range image, and where each return and its ray's origin lie in the world."""
    image = np.zeros((*shape, 4), dtype=np.float32)
    hits, origins = np.zeros((*shape, 3)), np.zeros((*shape, 3))
    for row in range(shape[0]):
        for column in range(shape[1]):
            if rng.random() < scene.holes + 0.3 * (number - 1):
                image[row, column, 0] = rng.choice([0.0, -1.0])
                continue
            # The side LiDARs' points come in the vehicle frame of the sweep, TOP's in that of their moment.
            pose = rigid(*poses[row, column].astype(np.float64)) if laser == 1 else world_SE3_vehicle
            world_SE3_laser = pose @ EXTRINSICS[laser]
            ray = world_SE3_laser[:3, :3] @ ray_of_pixel(laser, shape, row, column)
            start = world_SE3_laser[:3, 3]
            distance = _reach(start - CENTRE, ray, RADIUS_M[number])
            image[row, column] = distance, rng.exponential(0.5), rng.random(), 0
            hits[row, column], origins[row, column] = start + distance * ray, start
    return image, hits, origins


def _reach(start: np.ndarray, ray: np.ndarray, radius: float) -> float:
    """Return the distance along a ray from within a sphere about 0 to its wall."""
    along = float(start @ ray)
    return -along + math.sqrt(along * along + radius * radius - float(start @ start))


def _image_cells(component: str, images: dict[int, np.ndarray]) -> Row:
    cells: Row = {}
    for number, image in images.items():
        cells[f"[{component}].range_image_return{number}.values"] = image.ravel().tolist()
        cells[f"[{component}].range_image_return{number}.shape"] = list(image.shape)
    return cells


def calibration_row(context: str, laser: int, height: int, width: int) -> Row:
    """Return a laser's row of lidar_calibration."""
    beams = inclinations_of_top(height) if laser == 1 else None
    return {
        CONTEXT: context,
        LASER: laser,
        "[LiDARCalibrationComponent].extrinsic.transform": EXTRINSICS[laser].ravel().tolist(),
        "[LiDARCalibrationComponent].beam_inclination.min": beams[0] if beams else -1.5,
        "[LiDARCalibrationComponent].beam_inclination.max": beams[-1] if beams else 0.5,
        "[LiDARCalibrationComponent].beam_inclination.values": beams,
    }


def write_table(path: Path, rows: list[Row], layout: WaymoLayout) -> None:
    """Write rows with the official column types; the layout decides those that differ between releases."""
    columns: dict[str, pa.Array] = {}
    for name in rows[0] if rows else ():
        if "return2" in name and not layout.second_return:
            continue
        columns[name] = pa.array([row[name] for row in rows], column_type(name, layout))
    if layout.index:
        columns = {"index": pa.array([f"{i};x" for i in range(len(rows))])} | columns
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=layout.row_group, compression=layout.compression)


def column_type(name: str, layout: WaymoLayout) -> pa.DataType:
    """Return the official type of a column, by its name."""
    number = pa.int32() if "Segmentation" in name else pa.float32()
    if name.endswith("shape"):
        return pa.list_(pa.int32(), 3) if layout.fixed_size else pa.list_(pa.int32())
    if name.endswith("transform"):
        return pa.list_(
            pa.float32() if layout.float32_transforms and "Vehicle" in name else pa.float64(),
            16 if layout.fixed_size else -1,
        )
    if "beam_inclination" in name:
        return pa.list_(pa.float64()) if name.endswith("values") else pa.float64()
    if name.startswith("[Li"):
        return pa.list_(number)
    return {CONTEXT: pa.string(), TIME: pa.int64(), LASER: pa.int8()}[name]
