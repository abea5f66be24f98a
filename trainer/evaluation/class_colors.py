"""Colours of classes: the usual ones of a dataset where it has such, else hues far apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.palettes import distinct_colors
from iscc_lidar.shared.layouts.layout import all_layouts

_UNLABELLED: Final = "272f38"


def class_colors(class_names: Sequence[str]) -> NDArray[np.float64]:
    """Return the colour of each class, RGB from 0 to 1, float64 [C, 3]; class 0 is dark."""
    for layout in all_layouts():
        known = dict(zip(layout.class_names, layout.colors, strict=False))
        if set(class_names) <= set(known):
            return np.array([_rgb(known[name]) for name in class_names])
    return np.array([_rgb(_UNLABELLED), *distinct_colors(np.arange(1, len(class_names)))])


def _rgb(code: str) -> tuple[float, ...]:
    return tuple(value / 255 for value in bytes.fromhex(code))
