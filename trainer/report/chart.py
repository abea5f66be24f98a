"""One panel of curves as inline SVG: levels, logged values as a band, smooth lines. Its colours are the page's."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.picture import DPI, new_figure, svg
from iscc_lidar.trainer.report.curves import Panel, Series, value_range

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH: Final = 380
HEIGHT: Final = 190
LEFT, RIGHT, TOP, BOTTOM = 46, 16, 8, 24
_INNER_W: Final = WIDTH - LEFT - RIGHT
_INNER_H: Final = HEIGHT - TOP - BOTTOM
_POINTS_PER_INCH: Final = 72
_COLORS: Final = 6
_DASHES: Final = ("-", *((0, gaps) for gaps in ((5, 2), (1.5,) * 2, (6, *(1.5,) * 3), (6, *(1.5,) * 5), (3, 3))))
"""Curves differ in both, so that they are told apart without colours; the same patterns are in page.css."""
_LABEL_GAP: Final = 11
_VARIABLES: Final = ("line", "level", "soft", *(f"c{n}" for n in range(_COLORS)))
_STAND_INS: Final = {name: f"#0000{n:02x}" for n, name in enumerate(_VARIABLES, start=1)}
"""Colours that matplotlib draws with; afterwards they are replaced by the variables of page.css, light or dark."""


def draw(panel: Panel, steps: int, several: bool) -> str:
    """Draw one panel as a <figure>; the horizontal axis runs over ``steps``. Its data attribute feeds page.js.

    Curves differ in colour and dash. Of ``several`` runs each has its number at its end, and none its logged values.
    """
    data = escape(json.dumps(_data(panel, steps, several), separators=(",", ":")), quote=True)
    drawing = _draw_axes(panel, steps, several)
    cursor = f'<line class="cursor" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/></svg>'
    values = escape(panel.resting) or _last_values(panel, several)
    return (
        f'<figure class="chart{" many" if len(panel.series) > 1 else ""}" data-chart="{data}">'
        f"<figcaption><b>{escape(panel.title)}</b><span>{escape(panel.about)}</span>"
        f"<output>{values}</output></figcaption>{drawing.removesuffix('</svg>')}{cursor}</figure>"
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
        _draw_series(axes, series, several)
    if several:
        _draw_numbers(axes, panel.series)
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


def _draw_series(axes: Axes, series: Series, several: bool) -> None:
    color = _STAND_INS[f"c{series.look % _COLORS}"]
    if not several and np.array_equal(series.low, series.high):
        axes.plot(series.step, series.low, color=color, linewidth=1, alpha=0.32)
    elif not several:
        axes.fill_between(series.step, series.low, series.high, color=color, linewidth=0, alpha=0.2)
    dash = _DASHES[_dash(series.look)]
    axes.plot(series.step, series.mean, linestyle=dash, color=color, linewidth=2, solid_joinstyle="round")


def _draw_numbers(axes: Axes, shown: Sequence[Series]) -> None:
    """Write each curve's number after its end; where ends are close, above each other."""
    point = DPI / _POINTS_PER_INCH
    ends = axes.transData.transform([(series.step[-1], series.mean[-1]) for series in shown])[:, 1] / point
    top = axes.transAxes.transform((0, 1))[1] / point
    order = np.argsort(ends, kind="stable")
    ranks = _LABEL_GAP * np.arange(len(order))
    # Each at least a gap above the one below, then all below the top.
    heights = np.maximum.accumulate(ends[order] - ranks) + ranks
    heights = np.minimum(heights, top - ranks[::-1])
    for place, height in zip(order.tolist(), heights.tolist(), strict=True):
        series = shown[place]
        axes.annotate(
            series.name,
            (series.step[-1], series.mean[-1]),
            (3, height - ends[place] - 4),
            textcoords="offset points",
            color=_STAND_INS[f"c{series.look % _COLORS}"],
            annotation_clip=False,
        )


def look_class(look: int) -> str:
    """Return the classes of page.css that give a key the colour and dash of a curve."""
    return f"key c{look % _COLORS} d{_dash(look)}"


def _dash(look: int) -> int:
    return (look + look // _COLORS) % len(_DASHES)


def _last_values(panel: Panel, several: bool) -> str:
    named = several or len(panel.series) > 1
    names = [f"{escape(s.name)} " if named else "" for s in panel.series]
    return " ".join(
        f'<span><i class="{look_class(s.look)}"></i>{name}<b>{number(s.last)}</b></span>'
        for s, name in zip(panel.series, names, strict=True)
    )


def _data(panel: Panel, steps: int, several: bool) -> dict[str, object]:
    """List what page.js needs: the place of the axes, and the step, smooth and logged values of each series."""
    return {
        "left": LEFT,
        "inner": _INNER_W,
        "width": WIDTH,
        "steps": steps,
        "series": [
            {
                "name": s.name if several or len(panel.series) > 1 else "",
                "look": look_class(s.look),
                "step": [round(v) for v in s.step.tolist()],
                "mean": [float(f"{v:.4g}") for v in s.mean.tolist()],
                "raw": [float(f"{v:.4g}") for v in ((s.low + s.high) / 2).tolist()],
            }
            for s in panel.series
        ],
    }
