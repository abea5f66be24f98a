"""A picture of detected boxes beside the labelled ones, from above."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes, footprints
from iscc_lidar.shared.base.picture import BACKGROUND, Extent, dots, new_figure, outlines, prepare_birdseye, save
from iscc_lidar.shared.cache.sweep import CachedSweep

_POINTS: Final = "#7d8894"
_TRUTH: Final = "#4dd17a"
_FOUND: Final = ("#ff4d4d", "#4da3ff", "#ff9d3b", "#c77dff")
_MIN_SCORE: Final = 0.3
_WIDTH_IN: Final = 12


def draw_boxes(
    sweep: CachedSweep, truth: Boxes, found: Boxes, score: NDArray[np.float64], view: Extent, path: Path
) -> None:
    """Write a PNG of a sweep from above, x to the right: labelled boxes, and likely ones by class with their score.

    Raises:
        UserError: matplotlib is not installed.
    """
    likely = score >= _MIN_SCORE
    found, score = found.take(likely), score[likely]
    tops = footprints(found.centre[:, :2], found.size[:, :2], found.heading)[:, :, 1].max(axis=1)
    across = (view.y_max_m - view.y_min_m) / (view.x_max_m - view.x_min_m)
    figure = new_figure(
        _WIDTH_IN, _WIDTH_IN * across + 0.7, f"sequence {sweep.sequence}, sweep {sweep.name}, from above"
    )
    panel = figure.subplots()
    prepare_birdseye(panel, f"boxes found with a score of {_MIN_SCORE} or more", view)
    dots(panel, sweep.xyz, _POINTS, size=0.8)
    colors = dict(zip(dict.fromkeys(found.kind.tolist()), cycle(_FOUND), strict=False))
    by_kind = [(kind, found.take(found.kind == kind), color, 1.2) for kind, color in colors.items()]
    for name, boxes, color, width in [("labelled", truth, _TRUTH, 2.4), *by_kind]:
        outlines(panel, boxes, color, width)
        panel.plot([], [], color=color, linewidth=width, label=name)
    for kind, x, top, likeliness in zip(found.kind.tolist(), found.centre[:, 0], tops, score, strict=True):
        panel.annotate(
            f"{likeliness:.2f}",
            (x, top),
            (0, 2),
            textcoords="offset points",
            ha="center",
            color=colors[kind],
            annotation_clip=True,
        )
    panel.legend(loc="upper left", facecolor=BACKGROUND, labelcolor="white", edgecolor=_POINTS)
    save(figure, path)
