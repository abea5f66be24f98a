"""Pictures of a semantic segmentation: its confusion matrix, and one sweep from above with truth and errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.palettes import BACKGROUND, GREY, SHARE_MAP, TEXT, WRONG, hex_color
from iscc_lidar.shared.base.picture import around, dots, prepare_birdseye, save, titled_figure
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.shared.layouts.layout import class_colors
from iscc_lidar.trainer.evaluation.scores import semantic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEGEND_COLUMNS: Final = 10
_WRITTEN: Final = 0.005
"""Shares below this are not written into the matrix: they would read 0."""


def draw_confusion(counts: NDArray[np.int64], class_names: Sequence[str], path: Path) -> None:
    """Write a PNG of a confusion matrix [C, C]: the percentage of each true class that is predicted as each class.

    Points whose truth is unlabelled are left out; prediction 0 has a column of its own, "none".

    Raises:
        UserError: matplotlib is not installed.
    """
    rows = counts[1:]
    total = rows.sum(axis=1, keepdims=True)
    share = rows / np.maximum(total, 1)
    side = 3.0 + 0.46 * len(class_names)
    figure = titled_figure(side + 2.5, side, "confusion: percentage of each true class (row) predicted as (column)")
    panel = figure.subplots()
    panel.imshow(share, cmap=SHARE_MAP, vmin=0, vmax=1)
    panel.set_facecolor(BACKGROUND)
    panel.tick_params(colors=TEXT, length=0)
    panel.set_xticks(range(len(class_names)), ["none", *class_names[1:]], rotation=60, ha="right")
    names = [f"{name}  {n:,}" for name, n in zip(class_names[1:], total[:, 0].tolist(), strict=True)]
    panel.set_yticks(range(len(names)), names)
    for row, column in np.argwhere(share >= _WRITTEN).tolist():
        value = share[row, column]
        color = "black" if value > 0.6 else TEXT
        panel.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=8, color=color)
    save(figure, path)


def draw_segmentation(
    sweep: CachedSweep,
    predicted: NDArray[np.integer],
    class_names: Sequence[str],
    path: Path,
    reach_m: float = 40.0,
) -> None:
    """Write a PNG of a sweep from above, sensor in the middle, x to the right: truth, prediction, errors.

    Args:
        sweep: the sweep to draw; its cache must have semantic classes.
        predicted: class of each point, integers [N]; 0 where none.
        class_names: of the cache, index 0 is unlabelled.
        path: the PNG to write.
        reach_m: half the width of the view, metres.

    Raises:
        UserError: matplotlib is not installed, or the cache has no semantic classes.
    """
    truth = semantic(sweep)
    figure = titled_figure(19, 7.2, f"sequence {sweep.sequence}, sweep {sweep.name}")
    panels = figure.subplots(1, 3)
    labelled, wrong = truth > 0, (truth > 0) & (truth != predicted)
    titles = ("truth", "prediction", f"errors: {wrong.sum() / max(1, labelled.sum()):.1%} of the labelled points")
    for panel, title in zip(panels, titles, strict=True):
        prepare_birdseye(panel, title, around(reach_m))
    colors = class_colors(class_names)
    _classes(panels[0], sweep.xyz, truth, colors)
    _classes(panels[1], sweep.xyz, predicted, colors)
    dots(panels[2], sweep.xyz[labelled & ~wrong], GREY)
    dots(panels[2], sweep.xyz[wrong], WRONG, size=1.5)
    occurring = np.union1d(truth, predicted)
    _legend(figure, [(class_names[c], colors[c]) for c in occurring.tolist() if c > 0])
    save(figure, path)


def _classes(panel: Axes, xyz: NDArray[np.float32], of_point: NDArray[np.integer], colors: NDArray[np.float64]) -> None:
    rare_last = np.argsort(-np.bincount(of_point, minlength=len(colors))[of_point], kind="stable")
    dots(panel, xyz[rare_last], colors[of_point[rare_last]], size=1.2)


def _legend(figure: Figure, entries: list[tuple[str, NDArray[np.float64]]]) -> None:
    from matplotlib.patches import Patch

    figure.legend(
        handles=[Patch(color=hex_color(color), label=name) for name, color in entries],
        loc="outside lower center",
        ncols=math.ceil(len(entries) / math.ceil(max(len(entries), 1) / _LEGEND_COLUMNS)) or 1,
        frameon=False,
        labelcolor=TEXT,
        fontsize=11,
    )
