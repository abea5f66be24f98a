"""Pictures of a cached sweep from above: raw, ground, groups, queries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from iscc_lidar.data_schemas.arrays import OCCUPIED as IS_OCCUPIED
from iscc_lidar.data_schemas.boxes import Boxes, boxes_in_space
from iscc_lidar.data_schemas.labels import GROUND, NOISE, NOT_CONSIDERED
from iscc_lidar.shared.base.confidence import LEAST_CONFIDENCE
from iscc_lidar.shared.base.palettes import BOX, FREE, GREY, GROUND_POINTS, HEIGHT_MAP, OCCUPIED, distinct_colors
from iscc_lidar.shared.base.picture import around, dots, outlines, prepare_birdseye, save, titled_figure
from iscc_lidar.shared.cache.sweep import CachedSweep, GroupBoxes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_sweep(
    sweep: CachedSweep,
    path: Path,
    reach_m: float = 40.0,
    boxes: Boxes | None = None,
    group_boxes: GroupBoxes | None = None,
) -> None:
    """Write a PNG of a sweep seen from above, ``reach_m`` metres to each side of the sensor, x to the right.

    Labelled ``boxes`` are drawn over the raw points, ``group_boxes`` of some confidence over the groups. Raises
    UserError if matplotlib is not installed.
    """
    figure = titled_figure(20, 5.6, f"sequence {sweep.sequence}, sweep {sweep.name}")
    panels = figure.subplots(1, 4)
    for panel, title, draw in zip(panels, _titles(sweep), (_raw, _ground, _groups, _queries), strict=True):
        prepare_birdseye(panel, title, around(reach_m))
        draw(panel, sweep)
    if boxes is not None:
        outlines(panels[0], boxes, BOX)
    if group_boxes is not None:
        sure = group_boxes.sure(LEAST_CONFIDENCE)
        found = boxes_in_space(np.full(len(sure.group), "group"), sure.centre, sure.size, sure.heading)
        outlines(panels[2], found, BOX)
    save(figure, path)


def _titles(sweep: CachedSweep) -> tuple[str, str, str, str]:
    groups = len(np.unique(sweep.label[sweep.label >= 0]))
    ground = (sweep.label == GROUND).sum() / max(1, (sweep.label != NOT_CONSIDERED).sum())
    return (
        f"raw: {len(sweep.label):,} points",
        f"ground: {ground:.0%}",
        f"groups: {groups}, colours persist over time",
        f"queries: {len(sweep.queries.kind):,}, occupied orange, free blue",
    )


def _raw(panel: Axes, sweep: CachedSweep) -> None:
    xyz = sweep.xyz[sweep.label != NOT_CONSIDERED]
    low, high = np.percentile(xyz[:, 2], [2, 98]) if len(xyz) else (0.0, 1.0)
    panel.scatter(xyz[:, 0], xyz[:, 1], s=0.6, c=xyz[:, 2], cmap=HEIGHT_MAP, vmin=low, vmax=high, linewidths=0)


def _ground(panel: Axes, sweep: CachedSweep) -> None:
    dots(panel, sweep.xyz[(sweep.label >= 0) | (sweep.label == NOISE)], GREY)
    dots(panel, sweep.xyz[sweep.label == GROUND], GROUND_POINTS)


def _groups(panel: Axes, sweep: CachedSweep) -> None:
    dots(panel, sweep.xyz[sweep.label == NOISE], GREY)
    grouped = sweep.label >= 0
    dots(panel, sweep.xyz[grouped], distinct_colors(sweep.label[grouped]), size=1.5)


def _queries(panel: Axes, sweep: CachedSweep) -> None:
    dots(panel, sweep.xyz[sweep.label >= 0], GREY)
    occupied = sweep.queries.kind == IS_OCCUPIED
    dots(panel, sweep.queries.xyz[~occupied], FREE)
    dots(panel, sweep.queries.xyz[occupied], OCCUPIED)
