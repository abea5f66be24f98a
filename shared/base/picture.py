"""Dark figures as PNG, drawn by matplotlib without a display. It is imported only when one is drawn."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes, footprints
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BACKGROUND: Final = "#101418"
GREY: Final = "#39424c"


def new_figure(width_in: float, height_in: float, title: str) -> Figure:
    """Create a figure of this size in inches. Raises UserError if matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError("pictures need matplotlib; install it with: pip install matplotlib") from None
    figure = Figure(figsize=(width_in, height_in), facecolor=BACKGROUND, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, color="white", fontsize=12, x=0.004, ha="left")
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG in one step; missing parent folders are created."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=100)
    write_bytes(path, data.getvalue())


@dataclass(frozen=True)
class Extent:
    """The area shown of a sweep from above, in its sensor frame, metres."""

    x_min_m: float
    x_max_m: float
    y_min_m: float
    y_max_m: float


def around(reach_m: float) -> Extent:
    """Return the extent of ``reach_m`` metres to each side of the sensor."""
    return Extent(-reach_m, reach_m, -reach_m, reach_m)


def prepare_birdseye(panel: Axes, title: str, extent: Extent) -> None:
    """Turn a panel into a view from above, x to the right."""
    panel.set_facecolor(BACKGROUND)
    panel.set_title(title, color="white", fontsize=12, loc="left")
    panel.set_xlim(extent.x_min_m, extent.x_max_m)
    panel.set_ylim(extent.y_min_m, extent.y_max_m)
    panel.set_aspect("equal")
    panel.set_xticks([])
    panel.set_yticks([])


def dots(panel: Axes, xyz: NDArray[np.float32], color: str | NDArray[np.float64], size: float = 0.6) -> None:
    """Draw points [N, 3] in one colour, or in one RGB colour each, [N, 3]."""
    panel.scatter(xyz[:, 0], xyz[:, 1], s=size, c=color, linewidths=0)


def outlines(panel: Axes, boxes: Boxes, color: str, width: float = 0.8) -> None:
    """Draw the outlines of boxes from above; boxes without a position are left out."""
    placed = boxes.take(np.isfinite(boxes.heading))
    for corners in footprints(placed.centre[:, :2], placed.size[:, :2], placed.heading):
        panel.plot(*corners[[0, 1, 2, 3, 0]].T, color=color, linewidth=width)
