"""Plots of the results: mIoU over the label fraction, and gains per class.

Experiments differ in colour, and without it in marker or hatching. A plot of one schedule can be read on a phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from iscc_lidar.shared.base.palettes import ISCC_RUNS, OTHER_METHODS, PAPER, SCRATCH_RUNS
from iscc_lidar.shared.base.picture import new_figure
from iscc_lidar.trainer.reproduce.experiments import ALL, SCRATCH, Experiment
from iscc_lidar.trainer.reproduce.results import Result, by_schedule, by_seed, mean_of, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANEL_IN: Final = 4.6
_ORDER: Final = {name: number for number, name in enumerate(ALL)}
_MARKERS: Final = "osD^vPX*<>"
_HATCHES: Final = ("", "////", "....", "xxxx", "\\\\\\\\", "++++")


def curves(results: Sequence[Result], rows: Sequence[Experiment]) -> Figure:
    """Plot the mIoU of experiments over the label fraction, one panel per schedule, with the deviation over seeds."""
    schedules = by_schedule(results)
    figure = new_figure(_PANEL_IN * len(schedules), 3.8 + 0.2 * len(rows), PAPER)
    panels = figure.subplots(1, len(schedules), sharey=True, squeeze=False)[0]
    for panel, (schedule, own) in zip(panels, schedules.items(), strict=True):
        _curves(panel, own, rows)
        panel.set_title(f"fine-tuned by {schedule}")
    panels[0].set_ylabel("mIoU, %")
    figure.legend(*panels[0].get_legend_handles_labels(), frameon=False, loc="outside lower left")
    return figure


def _curves(panel: Axes, results: Sequence[Result], rows: Sequence[Experiment]) -> None:
    fractions = sorted({r.fraction for r in results})
    for row in rows:
        color, marker = _color(row.name), _MARKERS[_ORDER[row.name] % len(_MARKERS)]
        found = [(f, s) for f in fractions if (s := mean_of(results, row.name, f)) is not None]
        x, mean = [f for f, _ in found], [s.mean for _, s in found]
        deviation = [0.0 if s.count == 1 else s.deviation for _, s in found]
        line = "--" if row.name == SCRATCH else "-"
        panel.errorbar(x, mean, deviation, color=color, marker=marker, ls=line, capsize=4, label=row.title, zorder=3)
        runs = [(r.fraction, r.miou) for r in results if r.method == row.name]
        panel.scatter([f for f, _ in runs], [m for _, m in runs], s=10, color=color, alpha=0.5, linewidths=0)
    panel.set_xscale("log")
    panel.set_xticks(fractions, [f"{f:g} %" for f in fractions])
    panel.minorticks_off()
    panel.set_xlabel("labelled sweeps")
    panel.grid(alpha=0.3)


def shows_gains(results: Sequence[Result]) -> bool:
    """Return whether there is something to compare with training from scratch by the same schedule."""
    methods = [{r.method for r in own} for own in by_schedule(results).values()]
    return any(SCRATCH in names and len(names) > 1 for names in methods)


def gains_by_street(results: Sequence[Result]) -> Figure:
    """Plot the gains over scratch on each street, one panel per schedule: bars for means over seeds, dots for each.

    There must be some, see ``shows_gains``.
    """
    schedules = {name: own for name, own in by_schedule(results).items() if any(r.method == SCRATCH for r in own)}
    places = list(dict.fromkeys((r.street, r.fraction) for r in results))
    methods = [name for name in ALL if name != SCRATCH and any(r.method == name for r in results)]
    heading = 0.2 * (2 + max(name.count(",") + name.count(" on labels") for name in schedules))
    figure = new_figure(_PANEL_IN * len(schedules), 0.5 * len(places) + 0.2 * len(methods) + 0.8 + heading, PAPER)
    panels = figure.subplots(1, len(schedules), sharex=True, sharey=True, squeeze=False)[0]
    looks = {
        name: {"color": _color(name), "hatch": hatch, "edgecolor": "white", "linewidth": 0, "alpha": 0.8}
        for name, hatch in zip(methods, _HATCHES * len(methods), strict=False)
    }
    for panel, (schedule, own) in zip(panels, schedules.items(), strict=True):
        for row, (street, count) in enumerate(places):
            here = [r for r in own if r.street == street]
            scratch = by_seed(here, SCRATCH, count)
            for number, method in enumerate(methods):
                scores = by_seed(here, method, count)
                gains = [scores[seed] - scratch[seed] for seed in sorted(scores.keys() & scratch.keys())]
                height = 0.8 / len(methods)
                y = row - 0.4 + height * (number + 0.5)
                if gains:
                    panel.barh(y, sum(gains) / len(gains), 0.9 * height, **looks[method])
                panel.scatter(gains, [y] * len(gains), s=10, color="black", zorder=3, linewidths=0)
        panel.axvline(0, color="black", linewidth=0.8)
        panel.set_title(schedule.replace(" on labels", "\non labels").replace(", ", ",\n"), fontsize=9)
        panel.grid(axis="x", alpha=0.3)
        panel.set_xlabel("mIoU gained over training from scratch, points", fontsize=9)
    panels[0].set_yticks(range(len(places)), [f"{street}, {count:g} labelled" for street, count in places])
    panels[0].invert_yaxis()
    bars = [panels[0].barh([0], [0], label=ALL[name].title, **look) for name, look in looks.items()]
    if bars:
        figure.legend(handles=bars, frameon=False, loc="outside lower left")
    return figure


def gains_by_class(results: Sequence[Result], method: str, fraction: float) -> Figure:
    """Plot the gain of each class over scratch at a label fraction: bars for the mean over seeds, dots for each."""
    of, base = ({r.seed: r.iou for r in results if r.method == m and r.fraction == fraction} for m in (method, SCRATCH))
    seeds = sorted(of.keys() & base.keys())
    gains = {
        name: [of[s][name] - base[s][name] for s in seeds]  # type: ignore[operator]
        for name in next(iter(of.values()))
        if all(of[s][name] is not None and base[s][name] is not None for s in seeds)
    }
    order = sorted(gains, key=lambda name: spread(gains[name]).mean)  # type: ignore[union-attr]
    figure = new_figure(_PANEL_IN, 0.26 * len(order) + 1.0, PAPER)
    panel = figure.subplots()
    means = [sum(gains[name]) / len(seeds) for name in order]
    panel.barh(order, means, color=ISCC_RUNS, alpha=0.8)
    for place, name in enumerate(order):
        panel.scatter(gains[name], [place] * len(seeds), s=10, color="black", zorder=3, linewidths=0)
    panel.axvline(0, color="black", linewidth=0.8)
    panel.set_xlabel(f"IoU gained over scratch at {fraction:g} % of labels, points", fontsize=9)
    panel.grid(axis="x", alpha=0.3)
    panel.margins(y=0.01)
    return figure


def _color(name: str) -> str:
    known = {SCRATCH: SCRATCH_RUNS, "iscc": ISCC_RUNS}
    return known.get(name) or OTHER_METHODS[_ORDER[name] % len(OTHER_METHODS)]
