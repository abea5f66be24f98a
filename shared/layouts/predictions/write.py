"""Write predicted classes as the data set's own benchmark wants them.

    with open_predictions(cache, out) as write:
        for sweep in sweeps:
            write(sweep, predict(sweep))

Each file is written in one step. What a benchmark wants besides (an archive, a description) is not made.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.shared.layouts.predictions.nuscenes import NuScenesFiles
from iscc_lidar.shared.layouts.predictions.semantickitti import SemanticKittiFiles
from iscc_lidar.shared.layouts.predictions.waymo import WaymoFiles
from iscc_lidar.shared.layouts.semantickitti_classes import CLASS_NAMES

WritePrediction = Callable[[CachedSweep, NDArray[np.integer]], None]
"""Takes a sweep and the class index of each of its points [N], in the raw file's order; 0 where none."""


@contextmanager
def open_predictions(cache: Cache, out: Path, root: Path | None = None) -> Generator[WritePrediction]:
    """Begin to write predictions for sweeps of a cache below ``out``, in the layout of its data set.

    - SemanticKITTI (and the synthetic streets): ``sequences/NN/predictions/NAME.label``, uint32 raw ids.
    - nuScenes: ``lidarseg/SPLIT/TOKEN_lidarseg.bin``, uint8 classes 1..16, of key frames only.
    - Waymo: ``SPLIT/lidar_segmentation/CONTEXT.parquet``, as the component of that name, instances 0.

    Args:
        cache: whose sweeps are predicted.
        out: folder to write into.
        root: folder of the data set; needed for nuScenes, for its tokens, and Waymo, for its images' shapes.

    Raises:
        UserError: the data set has no such layout, ``root`` is needed, or is not what the cache was made from.
    """
    files = _files(cache, out, root)

    def write(sweep: CachedSweep, predicted: NDArray[np.integer]) -> None:
        if predicted.shape != (len(sweep.xyz),):
            raise ValueError(f"sweep {sweep.name} has {len(sweep.xyz)} points, its prediction {list(predicted.shape)}")
        files.write(sweep, predicted)

    yield write
    files.close()


def _files(cache: Cache, out: Path, root: Path | None) -> SemanticKittiFiles | NuScenesFiles | WaymoFiles:
    dataset = cache.manifest.dataset
    if cache.manifest.class_names == CLASS_NAMES:
        return SemanticKittiFiles(out)
    if dataset not in ("nuscenes", "waymo"):
        raise UserError(f"{cache.path}: no layout for predictions is known for its data set, {dataset}")
    if root is None:
        raise UserError(
            f"predictions for {dataset} need the folder of the data set, that iscc-preprocess had as --root"
        )
    return NuScenesFiles(out, root) if dataset == "nuscenes" else WaymoFiles(out, root, cache)
