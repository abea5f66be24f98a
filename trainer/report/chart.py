"""One panel of curves as inline SVG: levels, logged values as a band, smooth lines. Its colours are the page's."""

from __future__ import annotations

import json
import math
from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.picture import new_figure, svg
from iscc_lidar.trainer.report.curves import Panel, Series, value_range

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH: Final = 380
HEIGHT: Final = 190
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 24
_INNER_W: Final = WIDTH - LEFT - RIGHT
_INNER_H: Final = HEIGHT - TOP - BOTTOM
_POINTS_PER_INCH: Final = 72
SERIES_COLORS: Final = 6
_VARIABLES: Final = ("line", "level", "soft", *(f"c{n}" for n in range(SERIES_COLORS)))
_STAND_INS: Final = {name: f"#0000{n:02x}" for n, name in enumerate(_VARIABLES, start=1)}
"""Colours that matplotlib draws with; afterwards they are replaced by the variables of page.css, light or dark."""


def draw(panel: Panel, steps: int, several: bool) -> str:
    """Draw one panel as a <figure>; the horizontal axis runs over ``steps``. Its data attribute feeds page.js.

    The colour of a curve is that of its name; with ``several`` runs it is the run's, and names differ in the dash.
    """
    data = escape(json.dumps(_data(panel, steps, several), separators=(",", ":")), quote=True)
    drawing = _draw_axes(panel, steps, several)
    cursor = f'<line class="cursor" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/></svg>'
    return (
        f'<figure class="chart{" many" if len(panel.series) > 1 else ""}" data-chart="{data}">'
        f"<figcaption><b>{escape(panel.title)}</b><span>{escape(panel.about)}</span>"
        f"<output>{_last_values(panel, several)}</output></figcaption>{drawing.removesuffix('</svg>')}{cursor}</figure>"
    )


def nice_ticks(low: float, high: float) -> NDArray[np.float64]:
    """Return round numbers, about five steps, from ``low`` or below to ``high`` or above."""
    from matplotlib.ticker import MaxNLocator

    ticks: NDArray[np.float64] = np.asarray(MaxNLocator(5, steps=(1, 2, 2.5, 5, 10)).tick_values(low, high))
    ticks[np.abs(ticks) < (ticks[1] - ticks[0]) / 2] = 0  # not 1e-17
    return ticks


def number(value: float) -> str:
    """Write a number in few digits, NaN as a dash."""
    if not math.isfinite(value):
        return "–"
    if value != 0 and (abs(value) < 1e-3 or abs(value) >= 1e6):
        return f"{value:.2g}"
    if abs(value) >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _draw_axes(panel: Panel, steps: int, several: bool) -> str:
    figure = new_figure(WIDTH / _POINTS_PER_INCH, HEIGHT / _POINTS_PER_INCH, "none", layout=None)
    place = (LEFT / WIDTH, BOTTOM / HEIGHT, _INNER_W / WIDTH, _INNER_H / HEIGHT)
    axes = figure.add_axes(place, facecolor="none", xlim=(0, max(steps, 1)))
    _prepare_axes(axes, *value_range(panel))
    for value, text in panel.levels:
        _draw_level(axes, value, f"{text} {number(value)}")
    for series in panel.series:
        _draw_series(axes, series, panel, several)
    drawing = svg(figure)
    for name, mark in _STAND_INS.items():
        drawing = drawing.replace(mark, f"var(--{name})")
    return drawing


def _prepare_axes(axes: Axes, low: float, high: float) -> None:
    x_ticks, y_ticks = nice_ticks(*axes.get_xlim()), nice_ticks(low, high)
    axes.set_yticks(y_ticks, [number(tick) for tick in y_ticks])
    axes.set_ylim(y_ticks[0], y_ticks[-1])
    x_ticks = x_ticks[x_ticks <= axes.get_xlim()[1]]
    axes.set_xticks(x_ticks, [number(tick) for tick in x_ticks])
    if x_ticks[-1] > 0.95 * axes.get_xlim()[1]:
        axes.get_xticklabels()[-1].set_horizontalalignment("right")
    axes.tick_params(length=0, pad=6, labelcolor=_STAND_INS["soft"])
    axes.grid(axis="y", color=_STAND_INS["line"], linewidth=1)
    axes.spines[:].set_visible(False)


def _draw_level(axes: Axes, value: float, text: str) -> None:
    end, offset = (axes.get_xlim()[1], value), (-2, -12 if value > np.quantile(axes.get_ylim(), 0.9) else 4)
    axes.axhline(value, color=_STAND_INS["level"], linewidth=1, dashes=(4, 3))
    axes.annotate(text, end, offset, textcoords="offset points", color=_STAND_INS["soft"], ha="right")


def _draw_series(axes: Axes, series: Series, panel: Panel, several: bool) -> None:
    color = _STAND_INS[_color(panel, series, several)]
    if not several and np.array_equal(series.low, series.high):
        axes.plot(series.step, series.low, color=color, linewidth=1, alpha=0.32)
    elif not several:
        axes.fill_between(series.step, series.low, series.high, color=color, linewidth=0, alpha=0.2)
    dash = "--" if several and _place(panel, series) == 1 else "-"
    axes.plot(series.step, series.mean, dash, color=color, linewidth=2, solid_joinstyle="round")


def _place(panel: Panel, series: Series) -> int:
    return list(dict.fromkeys(s.name for s in panel.series)).index(series.name)


def _color(panel: Panel, series: Series, several: bool) -> str:
    return f"c{(series.run if several else _place(panel, series)) % SERIES_COLORS}"


def _last_values(panel: Panel, several: bool) -> str:
    if panel.resting and not several:
        return escape(panel.resting)
    return " ".join(
        f'{escape(name)} <i class="{_color(panel, series, several)}"></i><b>{number(series.last)}</b>'
        for series, name in _named(panel)
    )


def _named(panel: Panel) -> list[tuple[Series, str]]:
    """List series by name, then run; only the first of a name carries it, and none where all have the same."""
    names = list(dict.fromkeys(s.name for s in panel.series))
    grouped = [[s for s in panel.series if s.name == name] for name in names]
    return [(s, s.name if s is same[0] and len(names) > 1 else "") for same in grouped for s in same]


def _data(panel: Panel, steps: int, several: bool) -> dict[str, object]:
    """List what page.js needs: the place of the axes, and the step, smooth and logged values of each series."""
    return {
        "left": LEFT,
        "inner": _INNER_W,
        "width": WIDTH,
        "steps": steps,
        "series": [
            {
                "name": name,
                "color": _color(panel, s, several),
                "step": [round(v) for v in s.step.tolist()],
                "mean": [float(f"{v:.4g}") for v in s.mean.tolist()],
                "raw": [float(f"{v:.4g}") for v in ((s.low + s.high) / 2).tolist()],
            }
            for s, name in _named(panel)
        ],
    }
