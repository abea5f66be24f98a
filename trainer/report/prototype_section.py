"""The part of the page on prototypes: how they are used, and the groups that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.trainer.report.color import hex_color
from iscc_lidar.trainer.report.look import Look
from iscc_lidar.trainer.report.pictures import CROP_PIXELS, draw_side_view, group_size
from iscc_lidar.trainer.report.png import data_uri
from iscc_lidar.trainer.report.usage import PrototypeUse, Usage

_BARS: Final = (1000, 170)
_MOST_FOLDED: Final = 200
"""Prototypes beyond the cards that the page still has room for."""


def prototype_section(usage: Usage, looks: Sequence[Look], palette: NDArray[np.uint8], cards: int) -> str:
    """HTML of the section; ``cards`` of the most used prototypes are shown at once, the others folded in."""
    used = [row for row in usage.rows if row.groups]
    shown = "".join(_card(row, looks, palette) for row in used[:cards])
    rest = used[cards : cards + _MOST_FOLDED]
    folded = "".join(_card(row, looks, palette) for row in rest)
    more = (
        f"<details><summary>The next {len(rest)} of {len(used)} used prototypes</summary>"
        f'<div class="cards">{folded}</div></details>'
    )
    return (
        f"{_summary(usage)}{_bars(usage, palette)}"
        f"<h3>The {min(cards, len(used))} most used</h3><p>Of each, groups from the more similar half of those nearest "
        "to it, the ones with the most points, each another object; seen from the side, size and points below.</p>"
        f'<div class="cards">{shown}</div>{more if rest else ""}'
    )


def chip(row: PrototypeUse, palette: NDArray[np.uint8]) -> str:
    """A coloured square and the prototype's number, with its majority class."""
    label = f" {row.majority} {row.purity:.0%}" if row.majority else ""
    color = hex_color(palette[row.prototype])
    return f'<span class="chip"><i style="background:{color}"></i>{row.prototype}{escape(label)}</span>'


def _summary(usage: Usage) -> str:
    top = usage.rows[0]
    text = (
        f"<p>{usage.groups:,} groups of {usage.sweeps} sweeps, without augmentation, each given to its nearest "
        f"prototype. <b>{usage.used} of {len(usage.rows)}</b> prototypes take at least one; by entropy the usage is as "
        f"diverse as <b>{usage.effective:.0f}</b> equally used ones; the largest takes {top.share:.1%}.</p>"
    )
    if usage.purity is None:
        return text + "<p>The cache has no semantic classes, so nothing is said about what the prototypes mean.</p>"
    return (
        f"{text}<p>Classes took no part in training. <b>{usage.purity:.0%}</b> of the groups have the commonest class "
        f"of their prototype; dealt to the prototypes at random it would be {usage.chance:.0%}. A group's class is "
        "that of most of its points.</p>"
    )


def _bars(usage: Usage, palette: NDArray[np.uint8]) -> str:
    width, height = _BARS
    step = width / len(usage.rows)
    most = max(usage.rows[0].groups, 1)
    even = height - usage.groups / len(usage.rows) / most * (height - 20)
    bars = []
    for place, row in enumerate(usage.rows):
        tall = row.groups / most * (height - 20)
        title = f"prototype {row.prototype}: {row.groups} groups, {row.share:.1%}"
        title += f", {row.majority} {row.purity:.0%}" if row.majority else ""
        bars.append(
            f'<rect x="{place * step + 0.1 * step:.1f}" y="{height - tall:.1f}" width="{0.8 * step:.2f}" '
            f'height="{tall:.1f}" fill="{hex_color(palette[row.prototype])}"><title>{escape(title)}</title></rect>'
        )
    return (
        f'<figure class="bars"><svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img" '
        f'aria-label="groups by prototype">{"".join(bars)}'
        f'<line x1="0" x2="{width}" y1="{even:.1f}" y2="{even:.1f}"/></svg>'
        f"<figcaption>Groups by prototype, the most used first ({most:,} groups); the line: all used equally. Hues run "
        "in order of similarity: prototypes of like hue are like each other.</figcaption></figure>"
    )


def _card(row: PrototypeUse, looks: Sequence[Look], palette: NDArray[np.uint8]) -> str:
    label = (
        f'<span title="{row.labelled} of its groups have a class">{escape(row.majority)} {row.purity:.0%}</span>'
        if row.majority
        else ""
    )
    pictures = "".join(_example(looks[i], k, palette[row.prototype]) for i, k in row.examples)
    return (
        f'<article class="card" id="prototype-{row.prototype}"><header>'
        f'<b><i style="background:{hex_color(palette[row.prototype])}"></i>{row.prototype}</b>'
        f"<span>{row.groups} groups, {row.share:.1%}</span>{label}</header><div>{pictures}</div></article>"
    )


def _example(look: Look, group: int, color: NDArray[np.uint8]) -> str:
    length, height, points = group_size(look, group)
    where = f"sequence {look.sequence}, sweep {look.name}, group {look.group[group]}"
    size = f"{length:.1f} × {height:.1f} m, {points:,}"
    return (
        f'<figure><img src="{data_uri(draw_side_view(look, group, color))}" width="{CROP_PIXELS[1]}" '
        f'height="{CROP_PIXELS[0]}" alt="{escape(where)}" title="{escape(where)}">'
        f"<figcaption>{size}</figcaption></figure>"
    )
