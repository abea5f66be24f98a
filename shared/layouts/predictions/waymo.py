"""Predictions as tables like Waymo's component lidar_segmentation: ``SPLIT/lidar_segmentation/CONTEXT.parquet``.

Waymo's server takes protocol buffers, which its own package makes from such range images.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.shared.layouts.waymo_labels import ContextLabels


class WaymoFiles:
    """One file a context, written when the next one begins or at the end; instances are 0."""

    def __init__(self, out: Path, root: Path, cache: Cache) -> None:
        self._out, self._root, self._cache = out, root, cache
        self._context = ""
        self._labels: ContextLabels | None = None
        self._finished: set[str] = set()

    def write(self, sweep: CachedSweep, predicted: NDArray[np.integer]) -> None:
        """Add the classes [N] of a sweep's points; sweeps of a context must follow each other.

        Raises UserError where the data set is not the one that the cache was made from.
        """
        if self._labels is None or sweep.sequence != self._context:
            self.close()
            if sweep.sequence in self._finished:
                raise ValueError(f"context {sweep.sequence} comes back after another one; its file would be replaced")
            self._context, self._labels = sweep.sequence, ContextLabels(self._root, sweep.sequence)
        if sweep.pixel is None:  # read without it
            sweep = self._cache.sweep(sweep.sequence, sweep.index, without=("semantic", "queries"))
        self._labels.add(sweep, np.stack([np.zeros_like(predicted), predicted], axis=1).astype(np.int32))

    def close(self) -> None:
        """Write the file of the context begun last."""
        if self._labels is not None:
            self._labels.write(self._out)
            self._finished.add(self._context)
            self._labels = None
