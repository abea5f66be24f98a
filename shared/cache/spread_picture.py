"""A picture of spread labels: a sweep from above by class, by source, by confidence, and where they are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.spread import FROM_GROUP, FROM_POSITION, SpreadPoints, source_of_class
from iscc_lidar.shared.base.palettes import FREE, GREY, MID_GREY, OCCUPIED, SHARE_MAP, WRONG
from iscc_lidar.shared.base.picture import around, dots, prepare_birdseye, save, titled_figure
from iscc_lidar.shared.cache.sweep import CachedSweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE: Final = 0.8


def draw_spread(sweep: CachedSweep, found: SpreadPoints, colors: NDArray[np.float64], path: Path) -> None:
    """Write a PNG of a sweep's spread labels; ``colors`` are those of the classes, float64 [C, 3]."""
    figure = titled_figure(20, 5.6, f"sequence {sweep.sequence}, sweep {sweep.name}: spread labels")
    told = found.classes > 0
    titles = (
        f"class: {told.mean():.1%} of points",
        "from: position blue, group orange",
        f"confidence: mean {found.confidence[told].mean() if told.any() else 0:.3f}",
        _how_right(sweep, found),
    )
    panels = figure.subplots(1, 4)
    for panel, title in zip(panels, titles, strict=True):
        prepare_birdseye(panel, title, around(40.0))
        dots(panel, sweep.xyz[~told], GREY)
    dots(panels[0], sweep.xyz[told], colors[found.classes[told]], _SIZE)
    for source, color in ((FROM_POSITION, FREE), (FROM_GROUP, OCCUPIED)):
        dots(panels[1], sweep.xyz[source_of_class(found.classes, found.source) == source], color, _SIZE)
    _confidence(panels[2], sweep.xyz[told], found.confidence[told])
    _wrong(panels[3], sweep, found)
    save(figure, path)


def _how_right(sweep: CachedSweep, found: SpreadPoints) -> str:
    if sweep.semantic is None or not sweep.semantic.any():
        return "the sweep has no labels of its own"
    told = (found.classes > 0) & (sweep.semantic > 0)
    right = (found.classes == sweep.semantic)[told].mean() if told.any() else 0.0
    return f"against its own labels: {right:.1%} right, wrong red"


def _confidence(panel: Axes, xyz: NDArray[np.float32], confidence: NDArray[np.float32]) -> None:
    panel.scatter(xyz[:, 0], xyz[:, 1], s=_SIZE, c=confidence, cmap=SHARE_MAP, vmin=0.5, vmax=1, linewidths=0)


def _wrong(panel: Axes, sweep: CachedSweep, found: SpreadPoints) -> None:
    if sweep.semantic is None:
        return
    told = (found.classes > 0) & (sweep.semantic > 0)
    wrong = told & (found.classes != sweep.semantic)
    dots(panel, sweep.xyz[told & ~wrong], MID_GREY, _SIZE)
    dots(panel, sweep.xyz[wrong], WRONG, 2 * _SIZE)
