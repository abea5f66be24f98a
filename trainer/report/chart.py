"""A panel as inline SVG: axes, levels, raw values as a band, smooth lines. Colours come from the page's style."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from html import escape
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.trainer.report.curves import Panel, Series, value_range

WIDTH: Final = 380
HEIGHT: Final = 190
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 24
_INNER_W: Final = WIDTH - LEFT - RIGHT
_INNER_H: Final = HEIGHT - TOP - BOTTOM


def draw(panel: Panel, steps: int, several: bool) -> str:
    """One panel as a <figure>; the horizontal axis runs over ``steps``. Its data attribute feeds page.js.

    Curves are told apart by colour; of ``several`` runs the colour is the run's.
    """
    low, high = value_range(panel)
    ticks = nice_ticks(low, high, 4)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    body = [_horizontal_axis(steps), _vertical_axis(ticks, low, high)]
    body += [_level(value, text, low, high) for value, text in panel.levels]
    body.append(f'<svg x="{LEFT}" y="{TOP}" width="{_INNER_W}" height="{_INNER_H}">')  # clips outliers
    body += [_band(s, _kind(panel, s, several), steps, low, high) for s in panel.series if not several]
    body += [_line(s, _kind(panel, s, several), steps, low, high) for s in panel.series]
    body.append(f'<line class="cursor" y1="0" y2="{_INNER_H}"/></svg>')
    data = escape(json.dumps(_data(panel, steps, several), separators=(",", ":")), quote=True)
    return (
        f'<figure class="chart{" many" if len(panel.series) > 1 else ""}" data-chart="{data}">'
        f"<figcaption><b>{escape(panel.title)}</b><span>{escape(panel.about)}</span>"
        f"<output>{_last_values(panel, several)}</output></figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(panel.title)} over the step">'
        f"{''.join(body)}</svg></figure>"
    )


def nice_ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers, some ``about`` steps, that reach from ``low`` to ``high`` up to 2 % of a step."""
    rough = (high - low) / about
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= rough * 0.98)
    first, last = math.floor(low / step + 0.02), math.ceil(high / step - 0.02)
    return [k * step for k in range(first, last + 1)]


def number(value: float) -> str:
    """A figure in few digits, a dash where there is none."""
    if not math.isfinite(value):
        return "–"
    if value != 0 and (abs(value) < 1e-3 or abs(value) >= 1e6):
        return f"{value:.2g}"
    if abs(value) >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _kind(panel: Panel, series: Series, several: bool) -> str:
    """Classes of a series: colour by name within one run, by run among several; then the name sets the dash."""
    place = list(dict.fromkeys(s.name for s in panel.series)).index(series.name)
    return f"c{series.run} d{place}" if several else f"c{place}"


def _x(step: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    return step / max(steps, 1) * _INNER_W


def _y(value: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    return (high - value) / (high - low) * _INNER_H


def _points(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))


def _line(series: Series, kind: str, steps: int, low: float, high: float) -> str:
    points = _points(_x(series.step, steps), _y(series.mean, low, high))
    return f'<polyline class="smooth {kind}" points="{points}"/>'


def _band(series: Series, kind: str, steps: int, low: float, high: float) -> str:
    x = _x(series.step, steps)
    if np.array_equal(series.low, series.high):
        return f'<polyline class="raw {kind}" points="{_points(x, _y(series.low, low, high))}"/>'
    there, back = _y(series.high, low, high), _y(series.low, low, high)[::-1]
    return f'<polygon class="band {kind}" points="{_points(x, there)} {_points(x[::-1], back)}"/>'


def _horizontal_axis(steps: int) -> str:
    ticks = [t for t in nice_ticks(0, max(steps, 2), 4) if t <= steps]
    marks = []
    for tick in ticks:
        x = LEFT + tick / max(steps, 1) * _INNER_W
        anchor = "end" if x > WIDTH - RIGHT - 12 else "middle"
        marks.append(f'<text x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{number(tick)}</text>')
    return "".join(marks)


def _vertical_axis(ticks: Sequence[float], low: float, high: float) -> str:
    marks = []
    for tick in ticks:
        y = TOP + (high - tick) / (high - low) * _INNER_H
        marks.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{number(tick)}</text>'
        )
    return "".join(marks)


def _level(value: float, text: str, low: float, high: float) -> str:
    y = TOP + (high - value) / (high - low) * _INNER_H
    above = y - 4 if y > TOP + 14 else y + 12
    return (
        f'<line class="level" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="level" x="{WIDTH - RIGHT - 2}" y="{above:.1f}" text-anchor="end">{escape(text)} '
        f"{number(value)}</text>"
    )


def _last_values(panel: Panel, several: bool) -> str:
    if panel.resting and not several:
        return escape(panel.resting)
    return " ".join(
        f'{escape(name)} <i class="{_kind(panel, series, several)}"></i><b>{number(series.last)}</b>'
        for series, name in _named(panel)
    )


def _named(panel: Panel) -> list[tuple[Series, str]]:
    """Series by name, then run; of one name the first carries it, and none where all have the same."""
    names = list(dict.fromkeys(s.name for s in panel.series))
    grouped = [[s for s in panel.series if s.name == name] for name in names]
    return [(s, s.name if s is same[0] and len(names) > 1 else "") for same in grouped for s in same]


def _data(panel: Panel, steps: int, several: bool) -> dict[str, object]:
    """What page.js needs: the place of the axes, and of each series its step, smooth and raw values."""
    return {
        "left": LEFT / WIDTH,
        "width": _INNER_W / WIDTH,
        "inner": _INNER_W,
        "steps": steps,
        "series": [
            {
                "name": name,
                "kind": _kind(panel, s, several),
                "step": [round(v) for v in s.step.tolist()],
                "mean": [float(f"{v:.4g}") for v in s.mean.tolist()],
                "raw": [float(f"{v:.4g}") for v in ((s.low + s.high) / 2).tolist()],
            }
            for s, name in _named(panel)
        ],
    }
