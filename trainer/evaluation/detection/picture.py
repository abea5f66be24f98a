"""A picture of detected boxes beside the labelled ones, from above."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes, footprints
from iscc_lidar.shared.cached_sweep import CachedSweep
from iscc_lidar.shared.picture import BACKGROUND, dots, new_figure, outlines, prepare_birdseye, save

_POINTS: Final = "#7d8894"
_TRUTH: Final = "#4dd17a"
_FOUND: Final = ("#ff4d4d", "#4da3ff", "#ff9d3b", "#c77dff")
_MIN_SCORE: Final = 0.3
_WIDTH_IN: Final = 12


@dataclass(frozen=True)
class View:
    """What part of a sweep is shown, in its sensor frame, metres."""

    x_min_m: float
    x_max_m: float
    y_min_m: float
    y_max_m: float


def draw_boxes(
    sweep: CachedSweep, truth: Boxes, found: Boxes, score: NDArray[np.float64], view: View, path: Path
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
    prepare_birdseye(panel, f"boxes found with a score of {_MIN_SCORE} or more", view.x_max_m)
    panel.set_xlim(view.x_min_m, view.x_max_m)
    panel.set_ylim(view.y_min_m, view.y_max_m)
    dots(panel, sweep.xyz, _POINTS, size=0.8)
    outlines(panel, truth, _TRUTH, 2.4)
    panel.plot([], [], color=_TRUTH, linewidth=2.4, label="labelled")
    for kind, color in zip(dict.fromkeys(found.kind.tolist()), cycle(_FOUND), strict=False):
        of_kind = found.kind == kind
        outlines(panel, found.take(of_kind), color, 1.2)
        panel.plot([], [], color=color, linewidth=1.2, label=kind)
        for x, top, likeliness in zip(found.centre[of_kind, 0], tops[of_kind], score[of_kind], strict=True):
            told = f"{likeliness:.2f}"
            panel.annotate(
                told, (x, top), (0, 2), textcoords="offset points", ha="center", color=color, annotation_clip=True
            )
    panel.legend(loc="upper left", facecolor=BACKGROUND, labelcolor="white", edgecolor=_POINTS)
    save(figure, path)
