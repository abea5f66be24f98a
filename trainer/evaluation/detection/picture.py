"""A picture of detected and labelled boxes from above."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes, footprints
from iscc_lidar.shared.base.palettes import BACKGROUND, BOXED_POINTS, FOUND_BOXES, LABELLED_BOX, TEXT
from iscc_lidar.shared.base.picture import Extent, dots, outlines, prepare_birdseye, save, titled_figure
from iscc_lidar.shared.cache.sweep import CachedSweep

_MIN_SCORE: Final = 0.3
_WIDTH_IN: Final = 12


def draw_boxes(
    sweep: CachedSweep, truth: Boxes, found: Boxes, score: NDArray[np.float64], view: Extent, path: Path
) -> None:
    """Write a PNG of a sweep from above, x to the right: labelled boxes, and detected ones with class and score.

    Raises:
        UserError: matplotlib is not installed.
    """
    likely = score >= _MIN_SCORE
    found, score = found.take(likely), score[likely]
    tops = footprints(found.centre[:, :2], found.size[:, :2], found.heading)[:, :, 1].max(axis=1)
    height_in = _WIDTH_IN * view.aspect + 0.7
    figure = titled_figure(_WIDTH_IN, height_in, f"sequence {sweep.sequence}, sweep {sweep.name}, from above")
    panel = figure.subplots()
    prepare_birdseye(panel, f"detected boxes with a score of {_MIN_SCORE} or more", view)
    dots(panel, sweep.xyz, BOXED_POINTS, size=0.8)
    colors = dict(zip(dict.fromkeys(found.kind.tolist()), cycle(FOUND_BOXES), strict=False))
    by_class = [(name, found.take(found.kind == name), color, 1.2) for name, color in colors.items()]
    for name, boxes, color, width in [("labelled", truth, LABELLED_BOX, 2.4), *by_class]:
        outlines(panel, boxes, color, width)
        panel.plot([], [], color=color, linewidth=width, label=name)
    for name, x, top, likelihood in zip(found.kind.tolist(), found.centre[:, 0], tops, score, strict=True):
        panel.annotate(
            f"{likelihood:.2f}",
            (x, top),
            (0, 2),
            textcoords="offset points",
            ha="center",
            color=colors[name],
            annotation_clip=True,
        )
    panel.legend(loc="upper left", facecolor=BACKGROUND, labelcolor=TEXT, edgecolor=BOXED_POINTS)
    save(figure, path)
