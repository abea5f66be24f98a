"""What the tables of a block must be for a reader to trust them, beyond the types of their columns."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iscc_lidar.data_schemas.manifest import BlockEntry
from iscc_lidar.data_schemas.names import is_plain_name
from iscc_lidar.shared.base.text import one_line

MAX_ROWS: Final = 2**24
"""Points or queries of one sweep: far above any sensor's, and little enough memory."""

MAX_GROUP: Final = 2**22
"""More groups than any sequence has, and little memory for a count of each."""

FARTHEST: Final = 1e9
"""Metres or pixels: world coordinates reach some 1e7."""


def check_sweeps(table: pa.Table, entry: BlockEntry) -> None:
    """Check the table of sweeps. Raises ValueError with what is wrong."""
    if table.num_rows != entry.stop - entry.start:
        raise ValueError("its number of sweeps is not that in the manifest")
    if not np.array_equal(_numbers(table, "sweep"), np.arange(entry.start, entry.stop)):
        raise ValueError("its sweeps are not those in the manifest, one after the other")
    names = table["name"].to_pylist()
    if wrong := [name for name in names if not is_plain_name(name)]:
        raise ValueError(f"{one_line(repr(wrong[0])):.80} is not the name of a sweep")
    if len(set(names)) < len(names):
        raise ValueError("two sweeps have one name")
    counts = {n: _numbers(table, n) for n in ("points", "grouped", "noise", "ground", "not_considered", "labelled")}
    queries = _numbers(table, "queries")
    if min(queries.min(), *(count.min() for count in counts.values())) < 0:
        raise ValueError("a count is below 0")
    if max(queries.max(), counts["points"].max()) > MAX_ROWS:
        raise ValueError(f"a sweep has more than {MAX_ROWS} points or queries")
    labels = np.stack([counts[name] for name in ("grouped", "noise", "ground", "not_considered")]).sum(axis=0)
    if (labels != counts["points"]).any():
        raise ValueError("the labels of a sweep are not as many as its points")
    if (counts["labelled"] > counts["points"]).any():
        raise ValueError("more points have a class than there are points")
    check_poses(list_column(table["world_SE3_sensor"], 16))
    for child in table["crc32"].combine_chunks().flatten():
        if child.null_count not in (0, len(child)):
            raise ValueError("its sweeps have not all the same arrays")
    if "camera" in table.column_names:
        _check_cameras(table["camera"].combine_chunks().drop_null())


def check_groups(table: pa.Table, sweeps: pa.Table) -> None:
    """Check the table of groups against that of sweeps. Raises ValueError with what is wrong."""
    sweep, group, points = (_numbers(table, name) for name in ("sweep", "group", "points"))
    first, grouped = int(sweeps["sweep"][0].as_py()), _numbers(sweeps, "grouped")
    if len(sweep) and (sweep.min() < first or sweep.max() >= first + len(grouped) or group.min() < 0):
        raise ValueError("a row is of a sweep that the block lacks, or of a negative group")
    if len(group) and group.max() > MAX_GROUP:
        raise ValueError(f"a group's id is above {MAX_GROUP}")
    if (np.diff(sweep * 2**32 + group) <= 0).any():
        raise ValueError("its rows are not in order of sweep and group, each once")
    if (points < 1).any() or not np.array_equal(_sums(sweep - first, points, len(grouped)), grouped):
        raise ValueError("the points of a sweep's groups are not as many as in the table of sweeps")
    if not all(np.isfinite(list_column(table[name], 3)).all() for name in ("centroid", "box_min", "box_max")):
        raise ValueError("a position is not finite")


def check_tracks(table: pa.Table, entry: BlockEntry) -> None:
    """Check the table of the groups' boxes. Raises ValueError with what is wrong."""
    sweep, group = (_numbers(table, name) for name in ("sweep", "group"))
    if len(sweep) and (sweep.min() < entry.start or sweep.max() >= entry.stop or group.min() < 0):
        raise ValueError("a row is of a sweep that the block lacks, or of a negative group")
    if (np.diff(sweep * 2**32 + group) <= 0).any():
        raise ValueError("its rows are not in order of sweep and group, each once")
    centre, size = (list_column(table[name], 3) for name in ("centre", "size"))
    heading, confidence = (table[name].to_numpy() for name in ("heading", "confidence"))
    if not (np.isfinite(centre).all() and np.isfinite(size).all() and np.isfinite(heading).all()):
        raise ValueError("a number is not finite")
    if (size <= 0).any() or not ((confidence >= 0) & (confidence <= 1)).all():
        raise ValueError("a size is not positive, or a confidence not from 0 to 1")


def check_boxes(table: pa.Table, entry: BlockEntry) -> None:
    """Check the table of boxes. Raises ValueError with what is wrong."""
    sweep, occlusion = _numbers(table, "sweep"), _numbers(table, "occlusion")
    if len(sweep) and (sweep.min() < entry.start or sweep.max() >= entry.stop or (np.diff(sweep) < 0).any()):
        raise ValueError("its rows are not of the block's sweeps, in their order")
    if len(sweep) and (occlusion.min() < -1 or occlusion.max() > 3):
        raise ValueError("an occlusion is not one of -1 to 3")
    centre, size = list_column(table["centre"], 3), list_column(table["size"], 3)
    image_box = list_column(table["image_box"], 4)
    heading, truncation = (table[name].to_numpy() for name in ("heading", "truncation"))
    in_space = np.concatenate([centre, size, heading[:, None]], axis=1)
    if any(np.isinf(values).any() for values in (in_space, image_box, truncation)):
        raise ValueError("a number is infinite")
    unplaced = np.isnan(in_space)
    if (unplaced.any(axis=1) != unplaced.all(axis=1)).any() or (size <= 0).any():
        raise ValueError("a box has only part of a place in space, or a size that is not positive")
    if wrong := [kind for kind in set(table["kind"].to_pylist()) if not (kind and kind.isprintable())]:
        raise ValueError(f"{one_line(repr(wrong[0])):.80} is not the name of a class")


def _numbers(table: pa.Table, name: str) -> NDArray[np.int64]:
    found: NDArray[np.int64] = table[name].to_numpy().astype(np.int64)
    return found


def _sums(rows: NDArray[np.int64], values: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Sum int64 values by row exactly."""
    found = np.zeros(count, np.int64)
    np.add.at(found, rows, values)
    return found


def list_column(column: Any, length: int) -> NDArray[np.float64]:
    """Return a column of lists as an array [rows, length]. Raises ValueError for another length, or giant numbers."""
    lists = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    lengths = lists.value_lengths().to_numpy()
    if len(lengths) and (lengths.min() != length or lengths.max() != length):
        raise ValueError(f"a list has not {length} numbers")
    found: NDArray[np.float64] = lists.flatten().to_numpy().reshape(-1, length)
    if (np.abs(found) > FARTHEST).any():
        raise ValueError(f"a number is beyond {FARTHEST:g}")
    return found


def check_poses(poses: NDArray[np.float64]) -> None:
    """Check poses [N, 16], row-major. Raises ValueError with what is wrong."""
    matrices = poses.reshape(-1, 4, 4)
    rotation = matrices[:, :3, :3]
    with np.errstate(all="ignore"):
        squares = rotation @ rotation.transpose(0, 2, 1)
        rigid = np.isfinite(matrices).all() and (np.abs(squares - np.eye(3)) < 1e-2).all()
        if not rigid or (np.linalg.det(rotation) < 0).any() or (matrices[:, 3] != (0, 0, 0, 1)).any():
            raise ValueError("a pose is not a rotation and a translation")


def _check_cameras(cameras: Any) -> None:
    for name, length in (("image_P_camera", 12), ("camera_SE3_sensor", 16)):
        if not np.isfinite(list_column(cameras.field(name), length)).all():
            raise ValueError("a camera has numbers that are not finite")
    if any((cameras.field(name).to_numpy() < 1).any() for name in ("width", "height")):
        raise ValueError("a camera has an image without pixels")
