"""Colours that mean the same wherever they appear on the page."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

GROUP_COLORS: Final = 200
"""Groups share this many colours: as many as one indexed picture holds besides the fixed ones."""
GOLDEN: Final = 0.6180339887
_LIGHTNESS: Final = np.array([0.80, 0.62, 0.71])
_CHROMA: Final = 0.15

# C prototypes


def group_palette() -> NDArray[np.uint8]:
    """Colour of group id i is row i % GROUP_COLORS; neighbouring ids differ in hue and lightness."""
    order = np.arange(GROUP_COLORS)
    return oklch(_LIGHTNESS[order % 3], order * GOLDEN % 1)


def prototype_palette(centres: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colours [C, 3] of prototypes [C, E]: hues go once round in order of similarity, lightness tells neighbours apart.

    The order is the angle in the plane of the two first principal components.
    """
    spread = centres.astype(np.float64) - centres.mean(axis=0)
    axes = np.linalg.svd(spread, full_matrices=False)[2][:2]
    axes = axes * np.where(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)] < 0, -1, 1)[:, None]  # sign is free
    plane = np.zeros((len(centres), 2))
    plane[:, : len(axes)] = spread @ axes.T
    rank = np.empty(len(centres), np.int64)
    rank[np.argsort(np.arctan2(plane[:, 1], plane[:, 0]), kind="stable")] = np.arange(len(centres))
    return oklch(_LIGHTNESS[rank % 3], rank / max(len(rank), 1))


def oklch(lightness: NDArray[np.floating], turn: NDArray[np.floating]) -> NDArray[np.uint8]:
    """OKLCH (Ottosson 2020) at one chroma to sRGB, uint8 [n, 3]; hue in turns. What a screen cannot show is cut off."""
    a, b = _CHROMA * np.cos(2 * np.pi * turn), _CHROMA * np.sin(2 * np.pi * turn)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = np.stack(
        [
            4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
        ],
        axis=1,
    ).clip(0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    rgb: NDArray[np.uint8] = np.rint(curved * 255).astype(np.uint8)
    return rgb


def hex_color(rgb: NDArray[np.uint8]) -> str:
    """A colour [3] as #rrggbb."""
    return "#" + bytes(rgb.tolist()).hex()
