"""Colours of classes: a data set's usual ones where it has such, else hues far apart."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.layouts.layout import all_layouts

_GOLDEN: Final = 0.6180339887
_UNLABELLED: Final = "272f38"


def class_colors(class_names: Sequence[str]) -> NDArray[np.float64]:
    """RGB 0..1 of each class, float64 [C, 3]; class 0 is dark."""
    for layout in all_layouts():
        known = dict(zip(layout.class_names, layout.colors, strict=False))
        if set(class_names) <= set(known):
            return np.array([_rgb(known[name]) for name in class_names])
    return np.array([_rgb(_UNLABELLED), *(_hue(c) for c in range(1, len(class_names)))])


def _rgb(code: str) -> tuple[float, ...]:
    return tuple(value / 255 for value in bytes.fromhex(code))


def _hue(index: int) -> tuple[float, ...]:
    return colorsys.hsv_to_rgb((index * _GOLDEN) % 1, 0.45 + 0.5 * (index * 3 % 5) / 4, 1.0)
