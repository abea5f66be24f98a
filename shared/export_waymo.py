"""Export group labels in Waymo's v2 layout: Parquet tables like those of the component lidar_segmentation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from iscc_lidar.data_schemas.manifest import SequenceEntry
from iscc_lidar.shared.cache_reader import Cache, CachedSweep
from iscc_lidar.shared.errors import UserError
from iscc_lidar.shared.files import write_bytes

_KEYS: Final = ("key.segment_context_name", "key.frame_timestamp_micros", "key.laser_name")
_SHAPE: Final = "[LiDARComponent].range_image_return1.shape"
_IMAGE: Final = "[LiDARSegmentationLabelComponent].range_image_return"
_SCHEMA: Final = pa.schema(
    [
        *zip(_KEYS, (pa.string(), pa.int64(), pa.int8()), strict=True),
        (f"{_IMAGE}1.values", pa.list_(pa.int32())),
        (f"{_IMAGE}1.shape", pa.list_(pa.int32(), 3)),
        (f"{_IMAGE}2.values", pa.list_(pa.int32())),
        (f"{_IMAGE}2.shape", pa.list_(pa.int32(), 3)),
    ]
)
# Height and width of the range images: by timestamp in microseconds, then laser.
_Shapes = Mapping[int, Mapping[int, tuple[int, int]]]


def export_waymo(cache: Cache, out: Path, root: Path) -> int:
    """Write ``out/SPLIT/lidar_segmentation/CONTEXT.parquet``: one row for each frame and laser.

    Range images are H x W x 2: instance = group id + 1, or 0 for noise, ground, points that are not considered
    and pixels without a return; class = 0 (undefined), for groups have none. Both returns have an image; the
    second is 0 throughout where the cache was made from first returns. Unlike Waymo's own labels they are there
    for all lasers and all frames. Group ids are those of the cache, stable within the context.

    Args:
        cache: made from the Waymo adapter.
        out: folder to write into.
        root: folder of the data set; the images' shapes are read from its component lidar.

    Returns:
        Number of files written.

    Raises:
        UserError: the cache has no pixels, or the data set below ``root`` is not the one it was made from.

    """
    for entry in cache.manifest.sequences:
        _check_pixels(cache, entry)
        lidar = _lidar_file(root, entry.name)
        shapes = _shapes(lidar)
        stream = pa.BufferOutputStream()
        with pq.ParquetWriter(stream, _SCHEMA, compression="zstd") as writer:
            for index in range(entry.sweeps):
                sweep = cache.sweep(entry.name, index)
                writer.write_table(pa.Table.from_pylist(_rows(sweep, lidar, shapes), _SCHEMA))
        folder = out / lidar.parent.parent.name / "lidar_segmentation"
        write_bytes(folder / lidar.name, stream.getvalue().to_pybytes())
    return len(cache.manifest.sequences)


def _check_pixels(cache: Cache, entry: SequenceEntry) -> None:
    if any(cache.sweep(entry.name, block.start).pixel is None for block in entry.blocks):
        raise UserError(
            f"{cache.path}: holds no pixels of range images (its data set is {cache.manifest.dataset}); a cache made "
            "from the data set waymo does. Export others with --to semantickitti"
        )


def _lidar_file(root: Path, context: str) -> Path:
    for file in sorted(root.glob(f"*/lidar/{context}.parquet")):
        return file
    raise UserError(f"{root}: holds no */lidar/{context}.parquet; pass the data set's folder, as for iscc-preprocess")


def _shapes(lidar: Path) -> _Shapes:
    shapes: dict[int, dict[int, tuple[int, int]]] = {}
    try:
        table = pq.read_table(lidar, columns=[*_KEYS[1:], _SHAPE]).select([*_KEYS[1:], _SHAPE])
    except (OSError, KeyError, pa.ArrowException) as error:
        raise UserError(f"{lidar}: the shapes of its range images cannot be read ({error})") from None
    for frame, laser, shape in zip(*(column.to_pylist() for column in table.columns), strict=True):
        if shape:
            shapes.setdefault(frame, {})[laser] = (shape[0], shape[1])
    return shapes


def _rows(sweep: CachedSweep, lidar: Path, shapes: _Shapes) -> list[dict[str, Any]]:
    assert sweep.pixel is not None  # of all sweeps or of none, see _check_pixels
    of_laser = shapes.get(int(sweep.name), {})
    for laser in np.unique(sweep.pixel[:, 0]).tolist():
        height, width = of_laser.get(laser, (0, 0))
        own = sweep.pixel[:, 0] == laser
        if sweep.pixel[own, 2].max() >= height or sweep.pixel[own, 3].max() >= width:
            raise UserError(
                f"{lidar}: frame {sweep.name}, laser {laser}: the range image is {height} x {width}, too small for the "
                "cache's points; pass the data set that the cache was made from"
            )
    return [_row(sweep, sweep.pixel, laser, shape) for laser, shape in sorted(of_laser.items())]


def _row(sweep: CachedSweep, pixel: NDArray[np.uint16], laser: int, shape: tuple[int, int]) -> dict[str, Any]:
    cells: dict[str, Any] = dict(zip(_KEYS, (sweep.sequence, int(sweep.name), laser), strict=True))
    for number in (1, 2):
        own = (pixel[:, 0] == laser) & (pixel[:, 1] == number)
        image = np.zeros((*shape, 2), dtype=np.int32)
        image[pixel[own, 2], pixel[own, 3], 0] = np.maximum(sweep.label[own] + 1, 0)
        cells[f"{_IMAGE}{number}.values"] = image.ravel()
        cells[f"{_IMAGE}{number}.shape"] = list(image.shape)
    return cells
