"""Point labels in Waymo's v2 files: Parquet tables like those of the component lidar_segmentation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.names import require_plain_name
from iscc_lidar.shared.base.own import OwnFolder
from iscc_lidar.shared.base.parquet import read_table
from iscc_lidar.shared.cache.sweep import CachedSweep

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


class ContextLabels:
    """The labels of one context: sweeps are added one by one, then the file is written in one step.

    Unlike Waymo's own labels they cover all lasers of a sweep. Both returns have an image; the second is all 0 if the
    cache was made from first returns.
    """

    def __init__(self, root: Path, context: str) -> None:
        """Find the context in the dataset below ``root`` and read the shapes of its images.

        Raises UserError if it is missing or damaged.
        """
        self._lidar = _lidar_file(root, context)
        self._shapes = _shapes(self._lidar)
        self._stream = pa.BufferOutputStream()
        self._writer = pq.ParquetWriter(self._stream, _SCHEMA, compression="zstd")

    def add(self, sweep: CachedSweep, values: NDArray[np.int32]) -> None:
        """Add a sweep: instance and class of its points, int32 [N, 2]. Pixels without a point get 0, 0.

        Raises UserError if the cache has no pixels, or was not made from these range images.
        """
        self._writer.write_table(pa.Table.from_pylist(_rows(sweep, values, self._lidar, self._shapes), _SCHEMA))

    def write(self, folder: OwnFolder) -> None:
        """Write ``folder/SPLIT/lidar_segmentation/CONTEXT.parquet``."""
        self._writer.close()
        split = self._lidar.parent.parent.name
        folder.write(f"{split}/lidar_segmentation/{self._lidar.name}", self._stream.getvalue().to_pybytes())


def _lidar_file(root: Path, context: str) -> Path:
    require_plain_name(context, str(root))
    for split in sorted(root.iterdir()) if root.is_dir() else ():
        if (file := split / "lidar" / f"{context}.parquet").is_file():
            return file
    raise UserError(f"{root}: contains no */lidar/{context}.parquet; pass the dataset's folder, as for iscc-preprocess")


def _shapes(lidar: Path) -> _Shapes:
    shapes: dict[int, dict[int, tuple[int, int]]] = {}
    try:
        table = read_table(lidar, [*_KEYS[1:], _SHAPE])
    except (OSError, KeyError, pa.ArrowException) as error:
        raise UserError(f"{lidar}: the shapes of its range images cannot be read ({error})") from None
    for frame, laser, shape in zip(*(column.to_pylist() for column in table.columns), strict=True):
        if shape:
            shapes.setdefault(frame, {})[laser] = (shape[0], shape[1])
    return shapes


def _rows(sweep: CachedSweep, values: NDArray[np.int32], lidar: Path, shapes: _Shapes) -> list[dict[str, Any]]:
    if sweep.pixel is None:
        raise UserError(
            f"sequence {sweep.sequence}: the cache contains no pixels of range images; use one made from the dataset "
            "waymo"
        )
    of_laser = shapes.get(int(sweep.name), {})
    for laser in np.unique(sweep.pixel[:, 0]).tolist():
        height, width = of_laser.get(laser, (0, 0))
        own = sweep.pixel[:, 0] == laser
        if sweep.pixel[own, 2].max() >= height or sweep.pixel[own, 3].max() >= width:
            raise UserError(
                f"{lidar}: frame {sweep.name}, laser {laser}: the range image is {height} x {width}, too small for the "
                "cache's points; pass the dataset that the cache was made from"
            )
    return [_row(sweep, sweep.pixel, values, laser, shape) for laser, shape in sorted(of_laser.items())]


def _row(
    sweep: CachedSweep, pixel: NDArray[np.uint16], values: NDArray[np.int32], laser: int, shape: tuple[int, int]
) -> dict[str, Any]:
    cells: dict[str, Any] = dict(zip(_KEYS, (sweep.sequence, int(sweep.name), laser), strict=True))
    for number in (1, 2):
        own = (pixel[:, 0] == laser) & (pixel[:, 1] == number)
        image = np.zeros((*shape, 2), dtype=np.int32)
        image[pixel[own, 2], pixel[own, 3]] = values[own]
        cells[f"{_IMAGE}{number}.values"] = image.ravel()
        cells[f"{_IMAGE}{number}.shape"] = list(image.shape)
    return cells
