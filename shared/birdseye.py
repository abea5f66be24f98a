"""Bird's-eye pictures of a cached sweep: raw, ground, groups, queries."""

from __future__ import annotations

import colorsys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.arrays import OCCUPIED
from iscc_lidar.data_schemas.labels import GROUND, NOISE, NOT_CONSIDERED
from iscc_lidar.shared.cache_reader import CachedSweep
from iscc_lidar.shared.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BACKGROUND = "#101418"
_GREY = "#39424c"
_GOLDEN = 0.6180339887


def draw_sweep(sweep: CachedSweep, path: Path, reach_m: float = 40.0) -> None:
    """Write a PNG of a sweep seen from above, sensor in the middle, x to the right.

    Args:
        sweep: what to draw.
        path: the PNG to write.
        reach_m: half the width of what is shown, metres.

    Raises:
        UserError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError("pictures need matplotlib; install it with: pip install 'iscc-lidar[preprocess]'") from None
    figure = Figure(figsize=(20, 5.6), facecolor=_BACKGROUND, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"sequence {sweep.sequence}, sweep {sweep.name}", color="white", fontsize=12, x=0.004, ha="left")
    panels = figure.subplots(1, 4)
    for panel, title, draw in zip(panels, _titles(sweep), (_raw, _ground, _groups, _queries), strict=True):
        _prepare(panel, title, reach_m)
        draw(panel, sweep)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def group_colors(ids: NDArray[np.int32]) -> NDArray[np.float64]:
    """Colours [N, 3] of group ids; an id always has the same one, neighbouring ids have different ones."""
    unique, inverse = np.unique(ids, return_inverse=True)
    palette = [colorsys.hsv_to_rgb((i * _GOLDEN) % 1, 0.45 + 0.5 * ((i * 7) % 5) / 4, 1.0) for i in unique.tolist()]
    return np.array(palette).reshape(-1, 3)[inverse]


def _titles(sweep: CachedSweep) -> tuple[str, str, str, str]:
    groups = len(np.unique(sweep.label[sweep.label >= 0]))
    ground = (sweep.label == GROUND).sum() / max(1, (sweep.label != NOT_CONSIDERED).sum())
    return (
        f"raw: {len(sweep.label):,} points",
        f"ground: {ground:.0%}",
        f"groups: {groups}, colours persist over time",
        f"queries: {len(sweep.queries.kind):,}, occupied orange, free blue",
    )


def _prepare(panel: Axes, title: str, reach_m: float) -> None:
    panel.set_facecolor(_BACKGROUND)
    panel.set_title(title, color="white", fontsize=12, loc="left")
    panel.set_xlim(-reach_m, reach_m)
    panel.set_ylim(-reach_m, reach_m)
    panel.set_aspect("equal")
    panel.set_xticks([])
    panel.set_yticks([])


def _raw(panel: Axes, sweep: CachedSweep) -> None:
    xyz = sweep.xyz[sweep.label != NOT_CONSIDERED]
    low, high = np.percentile(xyz[:, 2], [2, 98]) if len(xyz) else (0.0, 1.0)
    panel.scatter(xyz[:, 0], xyz[:, 1], s=0.6, c=xyz[:, 2], cmap="viridis", vmin=low, vmax=high, linewidths=0)


def _ground(panel: Axes, sweep: CachedSweep) -> None:
    _dots(panel, sweep.xyz[(sweep.label >= 0) | (sweep.label == NOISE)], _GREY)
    _dots(panel, sweep.xyz[sweep.label == GROUND], "#c8a26b")


def _groups(panel: Axes, sweep: CachedSweep) -> None:
    _dots(panel, sweep.xyz[sweep.label == NOISE], _GREY)
    grouped = sweep.label >= 0
    panel.scatter(
        sweep.xyz[grouped, 0], sweep.xyz[grouped, 1], s=1.5, c=group_colors(sweep.label[grouped]), linewidths=0
    )


def _queries(panel: Axes, sweep: CachedSweep) -> None:
    _dots(panel, sweep.xyz[sweep.label >= 0], _GREY)
    occupied = sweep.queries.kind == OCCUPIED
    _dots(panel, sweep.queries.xyz[~occupied], "#4ea3ff")
    _dots(panel, sweep.queries.xyz[occupied], "#ff9c3d")


def _dots(panel: Axes, xyz: NDArray[np.float32], color: str) -> None:
    panel.scatter(xyz[:, 0], xyz[:, 1], s=0.6, c=color, linewidths=0)
