"""Colours of all pictures and plots: single ones as #rrggbb, palettes as RGB from 0 to 1, float64 [n, 3].

The report's page has light and dark colours of its own for text, lines and curves: trainer/report/page.css.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

# N points, C prototypes

BACKGROUND: Final = "#101418"
TEXT: Final = "#ffffff"
PAPER: Final = "#ffffff"

# Points
DARK_GREY: Final = "#2c343c"
GREY: Final = "#39424c"
MID_GREY: Final = "#56616c"
LIGHT_GREY: Final = "#96a0aa"
GROUND_POINTS: Final = "#c8a26b"
OCCUPIED: Final = "#ff9c3d"
FREE: Final = "#4ea3ff"
WRONG: Final = "#ff4d4d"
UNLABELLED: Final = "272f38"

# Boxes
BOX: Final = "#ffffff"
BOXED_POINTS: Final = "#7d8894"
LABELLED_BOX: Final = "#4dd17a"
FOUND_BOXES: Final = ("#ff4d4d", "#4da3ff", "#ff9d3b", "#c77dff")

# Experiments
SCRATCH_RUNS: Final = "#6b7280"
ISCC_RUNS: Final = "#d1495b"
OTHER_METHODS: Final = ("#2e86ab", "#66a182", "#edae49", "#7b5ea7", "#8c564b", "#17a2b8", "#9acd32", "#e07a5f")

# Of matplotlib
HEIGHT_MAP: Final = "viridis"
SHARE_MAP: Final = "magma"

_GOLDEN: Final = 0.6180339887
_SPREAD: Final = 0.34
_FEW_HUES: Final = 48


def distinct_colors(ids: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return a colour of each ID [N]: an ID always has the same one, neighbouring IDs have very different ones."""
    return hues(ids * _GOLDEN, 0.5 + 0.06 * (ids * 7 % 5))


def few_distinct_colors() -> NDArray[np.float64]:
    """Return the colours of ``few_distinct``, [240, 3]."""
    return hues(np.repeat(np.arange(_FEW_HUES) / _FEW_HUES, 5), np.tile(0.5 + 0.06 * np.arange(5), _FEW_HUES))


def few_distinct(ids: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the number, from 0, of the colour of each ID [N] among 240: nearly that of ``distinct_colors``."""
    hue: NDArray[np.int64] = np.rint(ids * _GOLDEN % 1 * _FEW_HUES).astype(np.int64) % _FEW_HUES
    return hue * 5 + ids * 7 % 5


def ramp(first: str, last: str, count: int) -> NDArray[np.float64]:
    """Return colours from one #rrggbb to another, [count, 3]."""
    return np.linspace(rgb(first[1:]), rgb(last[1:]), count)


def prototype_colors(centres: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return colours [C, 3] of prototypes [C, E]: similar hues for similar prototypes, neighbours differ in level.

    Hues go once round by the angle in the plane of the two first principal components.
    """
    spread = centres.astype(np.float64) - centres.mean(axis=0)
    axes = np.linalg.svd(spread, full_matrices=False)[2][:2]
    axes = axes * np.where(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)] < 0, -1, 1)[:, None]  # sign is free
    plane = np.zeros((len(centres), 2))
    plane[:, : len(axes)] = spread @ axes.T
    rank = np.argsort(np.argsort(np.arctan2(plane[:, 1], plane[:, 0]), kind="stable"))
    return hues(rank / len(rank), np.array([0.70, 0.52, 0.61])[rank % 3])


def hues(turn: NDArray[np.floating], level: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return RGB [n, 3] from hues [n], in turns of the colour circle, and means of the three channels [n], 0 to 1."""
    return (level[:, None] + _SPREAD * np.cos(2 * np.pi * (turn[:, None] - np.arange(3) / 3))).clip(0, 1)


def rgb(code: str) -> tuple[float, ...]:
    """Return the RGB, 0 to 1, of a colour as hexadecimal digits."""
    return tuple(value / 255 for value in bytes.fromhex(code))


def hex_color(color: NDArray[np.float64]) -> str:
    """Write an RGB colour [3] as #rrggbb."""
    return "#" + bytes(np.rint(color * 255).astype(np.uint8).tolist()).hex()
