"""Export group labels in Waymo's v2 layout: Parquet tables like those of the component lidar_segmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.manifest import SequenceEntry
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.layouts.waymo_labels import ContextLabels


def export_waymo(cache: Cache, out: Path, root: Path) -> int:
    """Write ``out/SPLIT/lidar_segmentation/CONTEXT.parquet``: one row for each frame and laser.

    Range images are H x W x 2: instance = group id + 1, or 0 for noise, ground, points that are not considered
    and pixels without a return; class = 0 (undefined), for groups have none. Group ids are those of the cache,
    stable within the context. See ``waymo_labels`` for what else differs from Waymo's own labels.

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
        labels = ContextLabels(root, entry.name)
        for index in range(entry.sweeps):
            sweep = cache.sweep(entry.name, index)
            labels.add(sweep, _instances(sweep.label))
        labels.write(out)
    return len(cache.manifest.sequences)


def _check_pixels(cache: Cache, entry: SequenceEntry) -> None:
    if any(cache.sweep(entry.name, block.start).pixel is None for block in entry.blocks):
        raise UserError(
            f"{cache.path}: holds no pixels of range images (its data set is {cache.manifest.dataset}); a cache made "
            "from the data set waymo does. Export others with --to semantickitti"
        )


def _instances(label: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.stack([np.maximum(label + 1, 0), np.zeros_like(label)], axis=1)
