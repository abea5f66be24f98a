"""Figures drawn without a screen by matplotlib, which is imported only where one is drawn."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes, footprints
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.own import write_own_file
from iscc_lidar.shared.base.palettes import BACKGROUND, TEXT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI: Final = 100
_PNG_MARK: Final = b"Software\x00iscc-lidar"
"""In the first text of each picture; by it the program recognises those that it may replace."""


def new_figure(
    width_in: float,
    height_in: float,
    background: str = BACKGROUND,
    layout: Literal["constrained"] | None = "constrained",
) -> Figure:
    """Begin a figure of this size in inches; ``layout`` is matplotlib's. Raises UserError without matplotlib."""
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError("pictures need matplotlib; install it with: pip install matplotlib") from None
    matplotlib.rcParams["text.parse_math"] = False  # a name with dollar signs is no formula
    figure = Figure((width_in, height_in), dpi=DPI, facecolor=background, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def titled_figure(width_in: float, height_in: float, title: str) -> Figure:
    """Begin a dark figure with a title in its upper left corner."""
    figure = new_figure(width_in, height_in)
    figure.suptitle(title, color=TEXT, fontsize=12, x=0.004, ha="left")
    return figure


def png(figure: Figure, dpi: float = DPI) -> bytes:
    """Write a figure as PNG."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=dpi, metadata={"Software": "iscc-lidar"})
    return data.getvalue()


def svg(figure: Figure) -> str:
    """Write a figure as an SVG element for an HTML page: the same bytes for the same figure, text as text."""
    from matplotlib import rc_context

    data = io.StringIO()
    with rc_context({"svg.hashsalt": "iscc-lidar", "svg.fonttype": "none", "font.sans-serif": "DejaVu Sans"}):
        figure.savefig(data, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    element = re.sub(r' xmlns(:xlink)?="[^"]*"|(?<=<g) id="[^"]*"| transform="rotate\(-0 [^"]*"', "", data.getvalue())
    paths_in_tenths = re.sub(r' d="[^"]*"', lambda d: re.sub(r"(\.\d)\d+|\n", r"\1", d[0]), element)
    return re.sub(r"\n *", "", paths_in_tenths[paths_in_tenths.index("<svg") :])


def save(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG file in one step; create its folder. Raises UserError where a foreign file is there."""
    write_own_file(path, png(figure), _PNG_MARK)


@dataclass(frozen=True)
class Extent:
    """The area of a sweep that is shown from above, in its sensor frame, metres."""

    x_min_m: float
    x_max_m: float
    y_min_m: float
    y_max_m: float

    @property
    def aspect(self) -> float:
        """Height over width."""
        return (self.y_max_m - self.y_min_m) / (self.x_max_m - self.x_min_m)


def around(reach_m: float) -> Extent:
    """Return a view of ``reach_m`` metres to each side of the sensor."""
    return Extent(-reach_m, reach_m, -reach_m, reach_m)


def prepare_birdseye(panel: Axes, title: str, view: Extent) -> None:
    """Make a panel a titled view from above, x to the right."""
    panel.set_facecolor(BACKGROUND)
    panel.set_title(title, color=TEXT, fontsize=12, loc="left")
    panel.set_xlim(view.x_min_m, view.x_max_m)
    panel.set_ylim(view.y_min_m, view.y_max_m)
    panel.set_aspect("equal")
    panel.set_xticks([])
    panel.set_yticks([])


def dots(
    panel: Axes, xyz: NDArray[np.floating], color: str | NDArray[np.float64], size: float = 0.6, marker: str = "o"
) -> None:
    """Draw points [N, 2 or more] in one colour, or each in its own, [N, 3]; ``size`` is an area in square points."""
    panel.scatter(xyz[:, 0], xyz[:, 1], s=size, c=color, marker=marker, linewidths=0)


def outlines(panel: Axes, boxes: Boxes, color: str, width: float = 0.8) -> None:
    """Draw the outlines of boxes from above; leave out those without a place in space."""
    placed = boxes.take(np.isfinite(boxes.heading))
    for corners in footprints(placed.centre[:, :2], placed.size[:, :2], placed.heading):
        panel.plot(*corners[[0, 1, 2, 3, 0]].T, color=color, linewidth=width)
