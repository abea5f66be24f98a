"""A picture of detected boxes beside the labelled ones, from above."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes
from iscc_lidar.shared.cached_sweep import CachedSweep
from iscc_lidar.shared.picture import GREY, dots, new_figure, outlines, prepare_birdseye, save

_TRUTH: Final = "#4dd17a"
_FOUND: Final = ("#ff4d4d", "#4da3ff", "#ff9d3b", "#c77dff")


def draw_boxes(
    sweep: CachedSweep, truth: Boxes, found: Boxes, score: NDArray[np.float64], path: Path, min_score: float = 0.3
) -> None:
    """Write a PNG of a sweep from above, x to the right: labelled boxes green, detected ones by class with their score.

    Raises:
        UserError: matplotlib is not installed.
    """
    shown = score >= min_score
    kinds = list(dict.fromkeys(found.kind[shown].tolist()))
    colors = {kind: _FOUND[k % len(_FOUND)] for k, kind in enumerate(kinds)}
    told = ", ".join(f"{kind} {color}" for kind, color in colors.items())
    figure = new_figure(
        14, 8, f"sequence {sweep.sequence}, sweep {sweep.name}; labels green; {told or 'nothing found'}"
    )
    panel = figure.subplots()
    placed = truth.take(np.isfinite(truth.heading))
    ahead = max(float(placed.centre[:, 0].max(initial=0)), float(found.centre[shown, 0].max(initial=0)), 30.0) + 5
    behind = min(float(placed.centre[:, 0].min(initial=0)), float(found.centre[shown, 0].min(initial=0))) - 5
    prepare_birdseye(panel, f"detections with a score of {min_score} or more", 40)
    panel.set_xlim(behind, ahead)
    dots(panel, sweep.xyz, GREY, size=0.8)
    outlines(panel, placed, _TRUTH, 2.2)
    for kind, color in colors.items():
        outlines(panel, found.take(shown & (found.kind == kind)), color, 1.1)
    for k in np.flatnonzero(shown):
        x, y = found.centre[k, :2].tolist()
        panel.text(x, y, f"{score[k]:.2f}", color=colors[str(found.kind[k])], fontsize=7)
    save(figure, path)
