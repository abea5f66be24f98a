"""A Waymo context of official size with random ranges, to measure reading; no truth to check against."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from waymo_writer import (
    CONTEXT,
    LASER,
    TIME,
    WaymoLayout,
    calibration_row,
    car_pose,
    column_type,
    rigid,
    rolling_poses,
    write_table,
)


def write_full_size(root: Path, frames: int = 200, row_group: int = 250) -> None:
    """Write one context of official size and random ranges, 1.5 GB for 200 frames.

    Args:
        root: folder to write into.
        frames: number of frames.
        row_group: rows of a row group; memory is needed for all rows of one.
    """
    context, layout = "1_full_size", WaymoLayout(row_group=row_group, index=False)
    shapes = {1: (64, 2650), 2: (200, 600), 3: (200, 600), 4: (200, 600), 5: (200, 600)}
    rng = np.random.default_rng(0)
    # Values as smooth and as rounded as real ones, so that compression and decoding cost as much.
    noise = {laser: _smooth_image(shape, rng) for laser, shape in shapes.items()}
    folder = root / "training"
    keys = [(frame, laser) for frame in range(frames) for laser in shapes]
    poses = rolling_poses(shapes[1], 0.0)
    _write_images(folder / "lidar", context, keys, lambda f, k: _rolled(noise[k], f), "LiDARComponent", 2, layout)
    _write_images(
        folder / "lidar_pose",
        context,
        [key for key in keys if key[1] == 1],
        lambda f, k: poses,
        "LiDARPoseComponent",
        1,
        layout,
    )
    write_table(
        folder / "lidar_calibration" / f"{context}.parquet",
        [calibration_row(context, laser, *shape) for laser, shape in shapes.items()],
        layout,
    )
    transform = "[VehiclePoseComponent].world_from_vehicle.transform"
    vehicle = [
        {CONTEXT: context, TIME: frame, transform: rigid(*car_pose(0.1 * frame)).ravel().tolist()}
        for frame in range(frames)
    ]
    write_table(folder / "vehicle_pose" / f"{context}.parquet", vehicle, layout)


def _smooth_image(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    image = np.zeros((*shape, 4), dtype=np.float32)
    image[..., 0] = 20 + np.cumsum(rng.normal(0, 0.2, shape), axis=1) % 50
    image[..., 1] = np.round(rng.exponential(0.2, shape), 2)
    image[..., 2] = np.round(rng.random(shape), 1)
    image[rng.random(shape) < 0.15] = -1
    return image


def _rolled(image: np.ndarray, frame: int) -> np.ndarray:
    return np.roll(image, 13 * frame, axis=1)


def _write_images(
    folder: Path,
    context: str,
    keys: list[tuple[int, int]],
    image_of: Callable[[int, int], np.ndarray],
    component: str,
    returns: int,
    layout: WaymoLayout,
) -> None:
    """Write range images, some rows at a time."""
    names = [f"[{component}].range_image_return{r}.{p}" for r in range(1, returns + 1) for p in ("values", "shape")]
    schema = pa.schema([(name, column_type(name, layout)) for name in (CONTEXT, TIME, LASER, *names)])
    folder.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(folder / f"{context}.parquet", schema) as writer:
        for start in range(0, len(keys), layout.row_group):
            batches = []
            for frame, laser in keys[start : start + layout.row_group]:
                image = image_of(frame, laser)
                cells: list[Any] = [[context], [frame], [laser]]
                for r in range(1, returns + 1):
                    # About one pixel in ten has a second return.
                    seen = image if r == 1 else np.where(image[..., 2:3] < 0.1, image, 0).astype(np.float32)
                    cells += [pa.ListArray.from_arrays([0, seen.size], seen.ravel()), [list(seen.shape)]]
                batches.append(
                    pa.record_batch(
                        [pa.array(c, f.type) if isinstance(c, list) else c for c, f in zip(cells, schema, strict=True)],
                        schema=schema,
                    )
                )
            writer.write_table(pa.Table.from_batches(batches), row_group_size=layout.row_group)
