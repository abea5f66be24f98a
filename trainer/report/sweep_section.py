"""The section of the page on single sweeps from above: groups, prototypes, and occupancy of masked places."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.palettes import FREE, OCCUPIED
from iscc_lidar.shared.base.picture import Extent
from iscc_lidar.trainer.evaluation.occupancy import MaskedPredictions
from iscc_lidar.trainer.report.inspect_sweeps import InspectedSweep
from iscc_lidar.trainer.report.pictures import (
    HIDDEN_PIXELS,
    draw_answers,
    draw_group_prototypes,
    draw_groups,
    draw_hidden_crop,
    draw_point_prototypes,
    image_tag,
    new_panel,
    view_of,
    view_panel,
)
from iscc_lidar.trainer.report.prototype_section import chip
from iscc_lidar.trainer.report.usage import Usage

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CLOSE_UPS: Final = 6
_LEGEND: Final = 12
_OUTLINE_M: Final = 0.3
"""Space between a group and the outline shown under the pointer, metres."""


def sweep_section(
    sweeps: Sequence[InspectedSweep], drawn: Sequence[int], usage: Usage, palette: NDArray[np.float64], reach_m: float
) -> str:
    """Return the section; ``drawn`` are the positions of the sweeps to show."""
    chips = "".join(chip(row, palette) for row in usage.rows[:_LEGEND] if row.groups)
    more = f"and {usage.used - _LEGEND} more" if usage.used > _LEGEND else ""
    legend = f'<p class="legend">Prototypes: {chips}{more}; point at a group to see its own.</p>'
    pictures = "".join(_sweep(sweeps[i], usage, palette, reach_m) for i in drawn)
    return f"{legend}{_accuracy(sweeps)}{pictures}"


def spread(count: int, wanted: int) -> list[int]:
    """Return positions evenly spread over ``count``, at most ``wanted``."""
    wanted = min(wanted, count)
    return [int((2 * n + 1) * count / (2 * wanted)) for n in range(wanted)]


def _accuracy(sweeps: Sequence[InspectedSweep]) -> str:
    answers = [sweep.answers for sweep in sweeps if sweep.answers is not None]
    if not answers:
        return "<p>Trained without occupancy: none is predicted for masked places.</p>"
    occupied, answer = (np.concatenate([getattr(a, name) for a in answers]) for name in ("occupied", "predicted"))
    if len(occupied) == 0:
        return "<p>No occupancy query lies in any masked ball of these sweeps.</p>"
    right = occupied == answer
    shares = " and ".join(
        f"{right[occupied == truth].mean():.0%} of {(occupied == truth).sum():,} {name} places"
        for truth, name in ((True, "occupied"), (False, "free"))
        if (occupied == truth).any()
    )
    key = (
        f'<span class="chip"><i style="background:{OCCUPIED}"></i>occupied</span>'
        f'<span class="chip"><i style="background:{FREE}"></i>free</span>'
        '<span class="chip">● right</span><span class="chip">✕ wrong</span>'
    )
    return (
        f'<p class="legend">Masked places: {key}</p><p>Over all {len(answers)} sweeps, with masked balls: right for '
        f"<b>{shares}</b>; guessing gives 50%.</p>"
    )


def _sweep(sweep: InspectedSweep, usage: Usage, palette: NDArray[np.float64], reach_m: float) -> str:
    view = view_of(sweep, reach_m)
    panel = view_panel(view)
    draw_groups(panel, sweep)
    figures = [_figure(panel, "Groups, the input", "one colour each")]
    draw_group_prototypes(panel, sweep, palette)
    outlines = _outlines(sweep, usage, view)
    figures.append(_figure(panel, "Nearest prototype of each group", "small groups grey", outlines))
    draw_point_prototypes(panel, sweep, palette)
    figures.append(_figure(panel, "Nearest prototype of each voxel alone", "also of ground, which is in no group"))
    if sweep.answers is not None:
        draw_answers(panel, sweep, sweep.answers)
        figures.append(_figure(panel, "Occupancy of masked places", "points in the balls are masked"))
    close_ups = "" if sweep.answers is None else _close_ups(sweep, sweep.answers)
    return (
        f"<h3>Sequence {escape(sweep.sequence)}, sweep {escape(sweep.name)}</h3>"
        f'<div class="sweep">{"".join(figures)}</div>{close_ups}'
    )


def _figure(panel: Axes, title: str, about: str, overlay: str = "") -> str:
    return (
        f'<figure class="zoom"><div>{image_tag(panel, title)}{overlay}</div>'
        f"<figcaption><b>{escape(title)}</b> {escape(about)}</figcaption></figure>"
    )


def _outlines(sweep: InspectedSweep, usage: Usage, view: Extent) -> str:
    """Return rectangles around the groups, shown under the pointer with the prototype's number and class."""
    rows = {row.prototype: row for row in usage.rows}
    marks = []
    for group, prototype in zip(sweep.group.tolist(), sweep.prototype.tolist(), strict=True):
        xy = sweep.xyz[sweep.label == group, :2]
        (x_min, y_min), (x_max, y_max) = xy.min(axis=0) - _OUTLINE_M, xy.max(axis=0) + _OUTLINE_M
        if x_min > view.x_max_m or y_min > view.y_max_m or x_max < view.x_min_m or y_max < view.y_min_m:
            continue
        use = rows[prototype]
        title = f"prototype {prototype}" + (f": {use.majority} {use.purity:.0%}" if use.majority else "")
        marks.append(
            f'<rect x="{x_min:.1f}" y="{-y_max:.1f}" width="{x_max - x_min:.1f}" height="{y_max - y_min:.1f}">'
            f"<title>{escape(title)}, group {group}</title></rect>"
        )
    width, height = view.x_max_m - view.x_min_m, view.y_max_m - view.y_min_m
    box = f"{view.x_min_m:.1f} {-view.y_max_m:.1f} {width:.1f} {height:.1f}"
    return f'<svg viewBox="{box}">{"".join(marks)}</svg>'


def _close_ups(sweep: InspectedSweep, answers: MaskedPredictions) -> str:
    crops = answers.balls
    queries = np.bincount(answers.ball, minlength=len(crops.centre))
    chosen = [c for c in np.argsort(-queries, kind="stable")[:_CLOSE_UPS].tolist() if queries[c]]
    if not chosen:
        return ""
    panel = new_panel(HIDDEN_PIXELS, HIDDEN_PIXELS)
    figures = []
    for crop in chosen:
        draw_hidden_crop(panel, sweep, answers, crop)
        right = int((answers.predicted == answers.occupied)[answers.ball == crop].sum())
        distance = float(np.linalg.norm(crops.centre[crop]))
        figures.append(
            f"<figure>{image_tag(panel, 'a masked ball from the side')}"
            f"<figcaption>{right} of {queries[crop]} right, {distance:.0f} m away</figcaption></figure>"
        )
    return (
        '<p class="note">Its masked balls with the most queries, from the side, sensor to the left: visible points '
        f'grey, masked ones light.</p><div class="close">{"".join(figures)}</div>'
    )
