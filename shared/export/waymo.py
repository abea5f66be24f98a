"""``--to waymo``: one Parquet file per context, like those of the component lidar_segmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.export.target import ExportOptions, Target
from iscc_lidar.shared.layouts.layout import require_root

if TYPE_CHECKING:
    from iscc_lidar.shared.base.own import OwnFolder
    from iscc_lidar.shared.cache.reader import Cache


def refuse_others(cache: Cache, options: ExportOptions) -> None:
    """Raise UserError for a cache of another dataset, and without the folder of this one."""
    require_root(options.root, "--to waymo")
    for entry in cache.manifest.sequences:
        if any(cache.sweep(entry.name, block.start).pixel is None for block in entry.blocks):
            raise UserError(
                f"{cache.path}: contains no pixels of range images (its dataset is {cache.manifest.dataset}), only "
                "caches of the dataset waymo do; export others with --to semantickitti"
            )


def write_sequence(cache: Cache, sequence: str, folder: OwnFolder, options: ExportOptions) -> int:
    """Write ``SPLIT/lidar_segmentation/CONTEXT.parquet``: one row for each frame and laser.

    Range images are H x W x 2: instance = group id + 1, or 0 for noise, ground, ignored points and pixels without a
    return; class = 0 (undefined), because groups have none. Group ids are those of the cache, stable within the
    context. See ``waymo_labels`` for what else differs from Waymo's own labels.

    Raises UserError where the cache was not made from the dataset at ``root``.
    """
    import numpy as np

    from iscc_lidar.shared.layouts.formats.waymo_labels import ContextLabels

    labels = ContextLabels(require_root(options.root, "--to waymo"), sequence)
    for index in range(cache.sequence(sequence).sweeps):
        sweep = cache.sweep(sequence, index)
        instance = np.maximum(sweep.label + 1, 0)
        labels.add(sweep, np.stack([instance, np.zeros_like(instance)], axis=1))
    labels.write(folder)
    return 1


TARGET: Final = Target(
    "waymo", "SPLIT/lidar_segmentation/CONTEXT.parquet: range images", write_sequence, refuse=refuse_others
)
