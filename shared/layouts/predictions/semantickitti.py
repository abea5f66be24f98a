"""Predictions for SemanticKITTI's benchmark: ``sequences/NN/predictions/NAME.label``, uint32 raw ids."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.files import write_bytes
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.shared.layouts.semantickitti_classes import RAW_OF_CLASS

_RAW: Final = np.array(RAW_OF_CLASS, dtype="<u4")


class SemanticKittiFiles:
    """One file a sweep."""

    def __init__(self, out: Path) -> None:
        self._out = out

    def write(self, sweep: CachedSweep, predicted: NDArray[np.integer]) -> None:
        """Write the classes [N] of a sweep's points."""
        folder = self._out / "sequences" / sweep.sequence / "predictions"
        write_bytes(folder / f"{sweep.name}.label", _RAW[predicted].tobytes())

    def close(self) -> None:
        """Nothing is left to do."""
