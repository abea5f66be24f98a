"""A picture of a finding: the group by its labels, from above and from the side, and where it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.audit.findings import Finding
from iscc_lidar.shared.base.palettes import BACKGROUND, GREY, OCCUPIED, TEXT
from iscc_lidar.shared.base.picture import Extent, around, dots, png, prepare_birdseye, titled_figure
from iscc_lidar.shared.cache.sweep import CachedSweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARGIN_M: Final = 3.0
_SIZE: Final = 6.0


def draw_finding(
    sweep: CachedSweep, semantic: NDArray[np.uint8], finding: Finding, colors: NDArray[np.float64], title: str
) -> bytes:
    """Draw a finding in one of its sweeps, as PNG; ``colors`` are those of the classes, float64 [C, 3]."""
    figure = titled_figure(15, 5.6, title)
    whole, above, side = figure.subplots(1, 3)
    mine = sweep.label == finding.group
    prepare_birdseye(whole, "where it is", around(40.0))
    dots(whole, sweep.xyz, GREY)
    dots(whole, sweep.xyz[mine], OCCUPIED, _SIZE)
    centre, reach = _middle(sweep.xyz[mine])
    near = np.asarray((np.abs(sweep.xyz[:, :2] - centre[:2]) < reach).all(axis=1))
    view = Extent(centre[0] - reach, centre[0] + reach, centre[1] - reach, centre[1] + reach)
    prepare_birdseye(above, "from above, by label; others small", view)
    _by_class(above, sweep.xyz[near][:, :2], near, mine, semantic, colors)
    _prepare_side(side, centre, reach)
    across = np.array([-centre[1], centre[0]]) / max(float(np.hypot(*centre[:2])), 1e-6)
    beside = (sweep.xyz[near][:, :2] - centre[:2]) @ across
    _by_class(side, np.stack([beside, sweep.xyz[near][:, 2]], axis=1), near, mine, semantic, colors)
    return png(figure)


def _middle(xyz: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """Return the middle of a group, and how far around it to show."""
    if not len(xyz):
        return np.zeros(3), 10.0
    low, high = xyz.min(axis=0).astype(np.float64), xyz.max(axis=0).astype(np.float64)
    return (low + high) / 2, float(max(high[:2] - low[:2]) / 2 + _MARGIN_M)


def _prepare_side(panel: Axes, centre: NDArray[np.float64], reach: float) -> None:
    panel.set_facecolor(BACKGROUND)
    panel.set_title("as the sensor sees it", color=TEXT, fontsize=12, loc="left")
    panel.set_xlim(reach, -reach)  # left of the sensor's line of sight on the left
    panel.set_ylim(centre[2] - reach, centre[2] + reach)
    panel.set_aspect("equal")
    panel.set_xticks([])
    panel.set_yticks([])


def _by_class(
    panel: Axes,
    at: NDArray[np.floating],
    near: NDArray[np.bool_],
    mine: NDArray[np.bool_],
    semantic: NDArray[np.uint8],
    colors: NDArray[np.float64],
) -> None:
    own = mine[near]
    shown = colors[semantic[near]]
    dots(panel, at[~own], shown[~own], 1.0)
    dots(panel, at[own], shown[own], _SIZE)
