"""The section of the page on prototypes: how often each is used, and the groups nearest to it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.palettes import hex_color
from iscc_lidar.trainer.report.inspect_sweeps import InspectedSweep
from iscc_lidar.trainer.report.pictures import CROP_PIXELS, draw_side_view, group_size, image_tag, new_panel
from iscc_lidar.trainer.report.usage import PrototypeUse, Usage

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MAX_FOLDED: Final = 200
"""Prototypes shown beyond the cards, folded in."""


def prototype_section(usage: Usage, sweeps: Sequence[InspectedSweep], palette: NDArray[np.float64], cards: int) -> str:
    """Return the section; ``cards`` of the most used prototypes are shown at once, the others folded in."""
    panel = new_panel(CROP_PIXELS[1], CROP_PIXELS[0])
    used = [row for row in usage.rows if row.groups]
    rest = used[cards : cards + _MAX_FOLDED]
    shown, folded = ("".join(_card(panel, row, sweeps, palette) for row in rows) for rows in (used[:cards], rest))
    more = (
        f"<details><summary>The next {len(rest)} of {len(used)} used prototypes</summary>"
        f'<div class="cards">{folded}</div></details>'
    )
    return (
        f"{_summary(usage)}{_bars(usage, palette)}"
        f"<h3>The {min(cards, len(used))} most used</h3><p>Examples of each: the groups with the most points in the "
        "more similar half of its groups, each of a different object, seen from the side. Below: length × height, and "
        f'number of points.</p><div class="cards">{shown}</div>{more if rest else ""}'
    )


def chip(row: PrototypeUse, palette: NDArray[np.float64]) -> str:
    """Return a coloured square and the prototype's number, with its majority class."""
    color = hex_color(palette[row.prototype])
    return f'<span class="chip"><i style="background:{color}"></i>{row.prototype}{escape(_majority(row, " "))}</span>'


def _majority(row: PrototypeUse, before: str = "") -> str:
    return f"{before}{row.majority} {row.purity:.0%}" if row.majority else ""


def _summary(usage: Usage) -> str:
    top = usage.rows[0]
    text = (
        f"<p>{usage.groups:,} groups of {usage.sweeps} sweeps, without augmentation, each assigned to its nearest "
        f"prototype. <b>{usage.used} of {len(usage.rows)}</b> prototypes have at least one group; by entropy the usage "
        f"is as diverse as <b>{usage.effective:.0f}</b> equally used ones; the largest has {top.share:.1%}.</p>"
    )
    if usage.purity is None:
        return text + "<p>The cache has no semantic classes, so the meaning of the prototypes is not evaluated.</p>"
    return (
        f"{text}<p>Classes were not used in training. <b>{usage.purity:.0%}</b> of the groups have the most common "
        f"class of their prototype; with groups assigned at random it would be {usage.chance:.0%}. A group's class is "
        "that of most of its points.</p>"
    )


def _bars(usage: Usage, palette: NDArray[np.float64]) -> str:
    most = max(usage.rows[0].groups, 1)
    bars = "".join(
        f'<i style="height:{row.groups / most:.1%};background:{hex_color(palette[row.prototype])}" title="prototype '
        f'{row.prototype}: {row.groups} groups, {row.share:.1%}{escape(_majority(row, ", "))}"></i>'
        for row in usage.rows
    )
    even = usage.groups / len(usage.rows) / most
    return (
        f'<figure class="bars"><div>{bars}<hr style="bottom:{even:.1%}"></div><figcaption>Groups per prototype, '
        f"the most used first ({most:,} groups); the line: all used equally. Similar hues are similar prototypes."
        "</figcaption></figure>"
    )


def _card(panel: Axes, row: PrototypeUse, sweeps: Sequence[InspectedSweep], palette: NDArray[np.float64]) -> str:
    color = palette[row.prototype]
    label = f'<span title="{row.labelled} of its groups have a class">{escape(_majority(row))}</span>'
    pictures = "".join(_example(panel, sweeps[i], k, color) for i, k in row.examples)
    return (
        f'<article class="card" id="prototype-{row.prototype}"><header>'
        f'<b><i style="background:{hex_color(color)}"></i>{row.prototype}</b>'
        f"<span>{row.groups} groups, {row.share:.1%}</span>{label if row.majority else ''}</header>"
        f"<div>{pictures}</div></article>"
    )


def _example(panel: Axes, sweep: InspectedSweep, group: int, color: NDArray[np.float64]) -> str:
    draw_side_view(panel, sweep, group, color)
    length, height, points = group_size(sweep, group)
    where = f"sequence {sweep.sequence}, sweep {sweep.name}, group {sweep.group[group]}"
    return (
        f'<figure title="{escape(where)}">{image_tag(panel, where)}'
        f"<figcaption>{length:.1f} × {height:.1f} m, {points:,}</figcaption></figure>"
    )
