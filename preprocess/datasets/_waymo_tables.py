"""The component tables of Waymo Open Dataset v2: rows by their keys, calibrations, poses and range images as arrays.

Rows are joined on key columns: their order differs between components. Shapes may be lists or fixed-size lists,
transforms float32 or float64; an extra ``index`` column is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes, boxes_in_space
from iscc_lidar.preprocess.datasets._files import MAX_M, cached_per_file
from iscc_lidar.preprocess.datasets._parquet_rows import (
    check_columns,
    check_numbers,
    open_parquet,
    open_rows,
    read_columns,
)
from iscc_lidar.preprocess.datasets._problems import Rows
from iscc_lidar.preprocess.datasets._waymo_returns import LaserCalibration
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.text import one_line
from iscc_lidar.shared.layouts.waymo import BOX_CLASS_OF_TYPE

if TYPE_CHECKING:
    import pyarrow as pa

CONTEXT_KEY: Final = "key.segment_context_name"
TIME_KEY: Final = "key.frame_timestamp_micros"
LASER_KEY: Final = "key.laser_name"

LIDAR: Final = "[LiDARComponent]"
POSE: Final = "[LiDARPoseComponent]"
LABELS: Final = "[LiDARSegmentationLabelComponent]"
_EXTRINSIC: Final = "[LiDARCalibrationComponent].extrinsic.transform"
_INCLINATION: Final = "[LiDARCalibrationComponent].beam_inclination"
_BOX: Final = "[LiDARBoxComponent]"
_BOX_COLUMNS: Final = tuple(
    f"{_BOX}.box.{field}" for field in (*(f"{of}.{axis}" for of in ("center", "size") for axis in "xyz"), "heading")
)
_VEHICLE_POSE: Final = "[VehiclePoseComponent].world_from_vehicle.transform"

LASERS: Final = {1: "TOP", 2: "FRONT", 3: "SIDE_LEFT", 4: "SIDE_RIGHT", 5: "REAR"}
TOP: Final = 1

_CHANNELS: Final = {LIDAR: 4, POSE: 6, LABELS: 2}
_CACHED_ROWS: Final = {LIDAR: 10, POSE: 2, LABELS: 2}  # of about two sweeps
_MAX_SIDE: Final = 2**16


def range_images(path: Path, component: str, frame: int, laser: int, returns: int) -> dict[int, NDArray[Any]]:
    """Read the range images [H, W, channels] of a laser by return (1, 2), as far as there are any.

    ``component`` is LIDAR, POSE or LABELS, ``frame`` a timestamp in microseconds, ``returns`` how many to read, 1 or 2.
    Raises UserError where the file is damaged, lacks the row, or its values do not fill the shape.
    """
    number = image_rows(path).get(frame, {}).get(laser)
    if number is None:
        raise UserError(f"{path}: has no row for frame {frame}, {laser_name(laser)}")
    columns = image_columns(path, component, returns)
    row = open_rows(path, columns, _CACHED_ROWS[component]).row(number)
    images = {}
    for index, (values, shape) in enumerate(zip(columns[::2], columns[1::2], strict=True), start=1):
        try:
            image = _image(row.column(values)[0], row.column(shape)[0], _CHANNELS[component])
        except ValueError as error:
            where = f"frame {frame}, {laser_name(laser)}, return {index}"
            raise UserError(f"{path}: {where}: {error}; the file is damaged, fetch it again") from None
        if image is not None:
            images[index] = image
    return images


def laser_name(laser: int) -> str:
    """Return number and name of a laser for messages."""
    return f"laser {laser} ({LASERS.get(laser, 'unknown')})"


def image_columns(path: Path, component: str, returns: int) -> tuple[str, ...]:
    """Return the columns of range images: values and shape of the first return, then of the second if there are any.

    Raises UserError where one of the first return's is missing, or only one of the second's.
    """
    schema = _schema(path)
    columns = tuple(f"{component}.range_image_return1.{field}" for field in ("values", "shape"))
    second = tuple(column.replace("return1", "return2") for column in columns)
    if returns > 1 and any(column in schema.names for column in second):
        columns += second
    check_columns(path, schema, columns)
    check_numbers(path, schema, columns, lists=True)
    return columns


@cached_per_file
def _schema(path: Path) -> pa.Schema:
    return open_parquet(path).schema_arrow


@cached_per_file
def image_rows(path: Path) -> Mapping[int, Mapping[int, int]]:
    """Return the row number of each range image: by timestamp in microseconds (in order of time), then laser.

    Raises UserError for a missing or damaged file, rows of another context and keys that occur twice.
    """
    table = read_columns(path, (CONTEXT_KEY, TIME_KEY, LASER_KEY))
    frames, lasers = _keys(path, table, TIME_KEY), _keys(path, table, LASER_KEY)
    rows: dict[int, dict[int, int]] = {frame: {} for frame in sorted(set(frames))}
    for number, (frame, laser) in enumerate(zip(frames, lasers, strict=True)):
        if laser in rows[frame]:
            raise UserError(f"{path}: frame {frame}, laser {laser} occurs twice; the file is damaged, fetch it again")
        rows[frame][laser] = number
    return rows


@cached_per_file
def calibrations(path: Path) -> Mapping[int, LaserCalibration]:
    """Read the calibration of each laser. Raises UserError for a missing or damaged file or entry."""
    columns = tuple(f"{_INCLINATION}.{field}" for field in ("min", "max", "values"))
    table = read_columns(path, (CONTEXT_KEY, LASER_KEY, _EXTRINSIC, *columns))
    lasers = _keys(path, table, LASER_KEY)
    check_numbers(path, table.schema, (_EXTRINSIC, columns[2]), lists=True)
    check_numbers(path, table.schema, columns[:2], lists=False)
    entries = zip(table[_EXTRINSIC].to_pylist(), *(table[c].to_pylist() for c in columns), strict=True)
    return {laser: _calibration(f"{path}: laser {laser}", *entry) for laser, entry in zip(lasers, entries, strict=True)}


def _calibration(
    where: str, extrinsic: list[float] | None, low: float | None, high: float | None, values: list[float] | None
) -> LaserCalibration:
    evenly = not values
    inclinations = np.array([low, high] if evenly else values, dtype=np.float64)
    if not np.isfinite(inclinations).all():
        raise UserError(f"{where}: beam inclinations are missing or not finite; fetch the file again")
    return LaserCalibration(_rigid(where, extrinsic), inclinations, evenly)


@cached_per_file
def vehicle_poses(path: Path) -> Rows[int, NDArray[np.float64]]:
    """Read world_SE3_vehicle, float64 [4, 4], by timestamp. Raises UserError for a missing or damaged file."""
    table = read_columns(path, (CONTEXT_KEY, TIME_KEY, _VEHICLE_POSE))
    check_numbers(path, table.schema, (_VEHICLE_POSE,), lists=True)
    frames = _keys(path, table, TIME_KEY)
    poses: dict[int, NDArray[np.float64]] = {}
    faults: dict[int, str] = {}
    for frame, matrix in zip(frames, table[_VEHICLE_POSE].to_pylist(), strict=True):
        try:
            pose = _rigid(f"{path}: frame {frame}", matrix)
        except UserError as error:
            faults[frame] = str(error)
            continue
        if frame in poses:
            faults[frame] = f"{path}: frame {frame} occurs twice; the file is damaged, fetch it again"
        poses[frame] = pose
    return Rows({frame: pose for frame, pose in poses.items() if frame not in faults}, faults)


@cached_per_file
def lasers(path: Path) -> frozenset[int]:
    """Return the lasers that every frame must have: TOP, and those of any frame."""
    return frozenset({TOP}.union(*image_rows(path).values()))


@cached_per_file
def boxes(path: Path) -> Rows[int, Boxes]:
    """Read the boxes by timestamp, in the vehicle frame. Raises UserError for a missing or damaged file."""
    table = read_columns(path, (CONTEXT_KEY, TIME_KEY, f"{_BOX}.type", *_BOX_COLUMNS))
    check_numbers(path, table.schema, (f"{_BOX}.type", *_BOX_COLUMNS), lists=False)
    frames = np.array(_keys(path, table, TIME_KEY), dtype=np.int64)
    values = np.array([table[name].to_pylist() for name in _BOX_COLUMNS], dtype=np.float64).T.reshape(-1, 7)
    wrong = np.flatnonzero(~np.isfinite(values).all(axis=1) | (values[:, 3:6] <= 0).any(axis=1))
    faults = {
        int(frames[row]): f"{path}: row {row}: a box's numbers are not finite or its size is not positive "
        f"({values[row].tolist()}); fetch the file again"
        for row in wrong[::-1].tolist()  # the first of a frame's last
    }
    kind = np.array([BOX_CLASS_OF_TYPE.get(number, "Unknown") for number in table[f"{_BOX}.type"].to_pylist()])
    found: dict[int, Boxes] = {}
    for frame in set(np.unique(frames).tolist()) - faults.keys():
        own = frames == frame
        found[frame] = boxes_in_space(kind[own], values[own, :3], values[own, 3:6], values[own, 6])
    return Rows(found, faults)


def _keys(path: Path, table: pa.Table, column: str) -> list[int]:
    import pyarrow as pa

    contexts = table[CONTEXT_KEY].unique().to_pylist() if pa.types.is_string(table[CONTEXT_KEY].type) else [None]
    others = [context for context in contexts if context != path.stem]
    if others:
        raise UserError(
            f"{path}: contains rows of context {one_line(str(others[0]))}; expected only those of {path.stem}"
        )
    if table[column].null_count or not pa.types.is_integer(table[column].type):
        found = f"{table[column].type} with {table[column].null_count} empty rows"
        raise UserError(f"{path}: column {column} is {found}, expected integers; fetch the file again")
    keys: list[int] = table[column].to_pylist()
    return keys


def _rigid(where: str, matrix: list[float] | None) -> NDArray[np.float64]:
    """Return the rigid transform nearest to 16 row-major numbers: those stored as float32 are not quite rigid."""
    try:
        dst_SE3_src = np.array(matrix, dtype=np.float64).reshape(4, 4)
        u, scale, vt = np.linalg.svd(dst_SE3_src[:3, :3])
    except (TypeError, ValueError, np.linalg.LinAlgError):
        raise UserError(f"{where}: expected a transform of 16 finite numbers; fetch the file again") from None
    last = dst_SE3_src[3]
    if np.abs(dst_SE3_src[:3, 3]).max() > MAX_M:
        raise UserError(f"{where}: the translation is not in metres; the file is damaged, fetch it again")
    if not np.isfinite(dst_SE3_src).all() or np.abs(scale - 1).max() > 1e-3 or np.any(last != [0, 0, 0, 1]):
        raise UserError(f"{where}: the transform is not rigid; the file is damaged, fetch it again")
    dst_SE3_src[:3, :3] = u @ vt
    return dst_SE3_src


def _image(values: pa.Scalar, shape: pa.Scalar, channels: int) -> NDArray[Any] | None:
    """Reshape values, None where there are none. Raises ValueError where values and shape do not agree."""
    if not values.is_valid or len(values) == 0:
        return None
    if not shape.is_valid:
        raise ValueError("values without a shape")
    sides: list[Any] = shape.as_py()
    if len(sides) != 3 or any(side is None or not 0 < side < _MAX_SIDE for side in sides) or sides[2] != channels:
        raise ValueError(f"shape {sides}, expected height, width, {channels}")
    if len(values) != np.prod(sides):
        raise ValueError(f"{len(values)} values do not fill the shape {sides}")
    array: NDArray[Any] = values.values.to_numpy(zero_copy_only=False)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"values are {values.type}, expected numbers")
    return array.reshape(sides)
