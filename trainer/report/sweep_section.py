"""The part of the page on single sweeps: groups, prototypes, and answers about hidden places, seen from above."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.trainer.evaluation.occupancy import MaskedPredictions
from iscc_lidar.trainer.report.color import hex_color
from iscc_lidar.trainer.report.look import Look
from iscc_lidar.trainer.report.pictures import (
    FREE_COLOR,
    HIDDEN_PIXELS,
    OCCUPIED_COLOR,
    SWEEP_PIXELS,
    Frame,
    Image,
    draw_answers,
    draw_group_prototypes,
    draw_groups,
    draw_hidden_crop,
    draw_point_prototypes,
    frame_of,
)
from iscc_lidar.trainer.report.png import data_uri
from iscc_lidar.trainer.report.prototype_section import chip
from iscc_lidar.trainer.report.usage import Usage

_CLOSE_UPS: Final = 6
_LEGEND: Final = 12


def sweep_section(
    looks: Sequence[Look], drawn: Sequence[int], usage: Usage, palette: NDArray[np.uint8], reach_m: float
) -> str:
    """HTML of the section; ``drawn`` are the positions of the looks to show."""
    chips = "".join(chip(row, palette) for row in usage.rows[:_LEGEND] if row.groups)
    more = f"and {usage.used - _LEGEND} more" if usage.used > _LEGEND else ""
    legend = f'<p class="legend">Prototypes: {chips}{more}; point at a group to read its own.</p>'
    sweeps = "".join(_sweep(looks[i], usage, palette, reach_m) for i in drawn)
    return f"{legend}{_answered(looks)}{sweeps}"


def spread(count: int, wanted: int) -> list[int]:
    """Positions evenly spread over ``count``, at most ``wanted``."""
    wanted = min(wanted, count)
    return [int((2 * n + 1) * count / (2 * wanted)) for n in range(wanted)]


def _answered(looks: Sequence[Look]) -> str:
    answers = [look.answers for look in looks if look.answers is not None]
    if not answers:
        return "<p>Trained without occupancy: nothing is asked about hidden places.</p>"
    occupied, answer = (np.concatenate([getattr(a, name) for a in answers]) for name in ("occupied", "predicted"))
    if len(occupied) == 0:
        return "<p>No occupancy query lies in any crop of these sweeps.</p>"
    right = (occupied == answer, occupied)
    shares = " and ".join(
        f"{(right[0][occupied == truth]).mean():.0%} of {(occupied == truth).sum():,} {name} places"
        for truth, name in ((True, "occupied"), (False, "free"))
        if (occupied == truth).any()
    )
    key = (
        f'<span class="chip"><i style="background:{_css(OCCUPIED_COLOR)}"></i>occupied</span>'
        f'<span class="chip"><i style="background:{_css(FREE_COLOR)}"></i>free</span>'
        '<span class="chip">● right</span><span class="chip">✕ wrong</span>'
    )
    return (
        f'<p class="legend">Hidden places: {key}</p><p>Over all {len(answers)} sweeps looked at, with crops '
        f"hidden: right on <b>{shares}</b>; half would be a coin.</p>"
    )


def _sweep(look: Look, usage: Usage, palette: NDArray[np.uint8], reach_m: float) -> str:
    frame = frame_of(look, reach_m)
    groups = draw_groups(look, frame)
    nearest = draw_group_prototypes(look, palette, frame)
    voxels = draw_point_prototypes(look, palette, frame)
    panels = [
        _panel(groups, "Groups, the input", "one colour each"),
        _panel(nearest, "Nearest prototype of each group", "small groups grey", _hotspots(look, usage, frame)),
        _panel(voxels, "Nearest prototype of each voxel alone", "ground as well, which is in no group"),
    ]
    if look.answers is not None:
        answers = draw_answers(look, look.answers, frame)
        panels.append(_panel(answers, "Answers about hidden places", "surface in crops is hidden"))
    close = "" if look.answers is None else _close_ups(look, look.answers)
    return (
        f"<h3>Sequence {escape(look.sequence)}, sweep {escape(look.name)}</h3>"
        f'<div class="sweep">{"".join(panels)}</div>{close}'
    )


def _panel(image: Image, title: str, about: str, overlay: str = "") -> str:
    height, width, _ = image.shape
    return (
        f'<figure class="zoom"><div><img src="{data_uri(image)}" width="{width}" height="{height}" '
        f'alt="{escape(title)}">{overlay}</div>'
        f"<figcaption><b>{escape(title)}</b> {escape(about)}</figcaption></figure>"
    )


def _hotspots(look: Look, usage: Usage, frame: Frame) -> str:
    rows = {row.prototype: row for row in usage.rows}
    marks = []
    for group, prototype in zip(look.group.tolist(), look.prototype.tolist(), strict=True):
        row, column = frame.place(look.xyz[look.label == group])
        x, y = float(column.min()), float(row.min())
        width, height = float(np.ptp(column)), float(np.ptp(row))
        if x > SWEEP_PIXELS or y > frame.height or x + width < 0 or y + height < 0:
            continue
        use = rows[prototype]
        title = f"prototype {prototype}" + (f": {use.majority} {use.purity:.0%}" if use.majority else "")
        marks.append(
            f'<rect x="{x - 3:.0f}" y="{y - 3:.0f}" width="{width + 6:.0f}" height="{height + 6:.0f}">'
            f"<title>{escape(title)}, group {group}</title></rect>"
        )
    return f'<svg viewBox="0 0 {SWEEP_PIXELS} {frame.height}">{"".join(marks)}</svg>'


def _close_ups(look: Look, answers: MaskedPredictions) -> str:
    crops = answers.balls
    asked = np.bincount(answers.ball, minlength=len(crops.centre))
    chosen = [c for c in np.argsort(-asked, kind="stable")[:_CLOSE_UPS].tolist() if asked[c]]
    figures = []
    for crop in chosen:
        mine = answers.ball == crop
        right = int((answers.predicted == answers.occupied)[mine].sum())
        distance = float(np.linalg.norm(crops.centre[crop]))
        text = f"{right} of {asked[crop]} right, {distance:.0f} m away"
        figures.append(
            f'<figure><img src="{data_uri(draw_hidden_crop(look, answers, crop))}" width="{HIDDEN_PIXELS}" '
            f'height="{HIDDEN_PIXELS}" alt="a hidden crop from the side"><figcaption>{text}</figcaption></figure>'
        )
    if not figures:
        return ""
    return (
        '<p class="note">Its crops with the most questions, from the side, sensor to the left: grey was seen, light '
        "was hidden.</p>"
        f'<div class="close">{"".join(figures)}</div>'
    )


def _css(color: tuple[int, int, int]) -> str:
    return hex_color(np.array(color, np.uint8))
