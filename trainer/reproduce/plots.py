"""Plots of the results: mIoU over the label fraction with its spread, and gains by class."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.reproduce.experiments import SCRATCH, Experiment
from iscc_lidar.trainer.reproduce.results import Result, by_schedule, mean_of, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SCRATCH_COLOR: Final = "#6b7280"
_ISCC_COLOR: Final = "#d1495b"
_OTHER_COLORS: Final = ("#2e86ab", "#66a182", "#edae49", "#7b5ea7", "#8c564b", "#17a2b8", "#9acd32", "#e07a5f")


def curves(results: Sequence[Result], rows: Sequence[Experiment]) -> Figure:
    """MIoU of rows over the label fraction, a panel a schedule; bars: deviation over seeds, dots: single runs."""
    schedules = by_schedule(results)
    figure = _figure(4.0 * len(schedules) + 3.0, 4.2)
    panels = figure.subplots(1, len(schedules), sharey=True, squeeze=False)[0]
    for panel, (schedule, own) in zip(panels, schedules.items(), strict=True):
        _curves(panel, own, rows)
        panel.set_title(f"fine-tuned by {schedule}")
    panels[0].set_ylabel("mIoU, %")
    panels[-1].legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _curves(panel: Axes, results: Sequence[Result], rows: Sequence[Experiment]) -> None:
    fractions = sorted({r.fraction for r in results})
    others = iter(_OTHER_COLORS * len(rows))
    for row in rows:
        color = {SCRATCH: _SCRATCH_COLOR, "iscc": _ISCC_COLOR}.get(row.name) or next(others)
        found = [(f, s) for f in fractions if (s := mean_of(results, row.name, f)) is not None]
        x, mean = [f for f, _ in found], [s.mean for _, s in found]
        deviation = [0.0 if s.count == 1 else s.deviation for _, s in found]
        panel.errorbar(x, mean, deviation, color=color, marker="o", capsize=4, label=row.title, zorder=3)
        runs = [(r.fraction, r.miou) for r in results if r.method == row.name]
        panel.scatter([f for f, _ in runs], [m for _, m in runs], s=10, color=color, alpha=0.5, linewidths=0)
    panel.set_xscale("log")
    panel.set_xticks(fractions, [f"{f:g} %" for f in fractions])
    panel.minorticks_off()
    panel.set_xlabel("labelled sweeps")
    panel.grid(alpha=0.3)


def gains_by_class(results: Sequence[Result], method: str, fraction: float) -> Figure:
    """Gain over scratch of each class at a fraction, mean over seeds, dots single ones."""
    of, base = ({r.seed: r.iou for r in results if r.method == m and r.fraction == fraction} for m in (method, SCRATCH))
    seeds = sorted(of.keys() & base.keys())
    gains = {
        name: [of[s][name] - base[s][name] for s in seeds]  # type: ignore[operator]
        for name in next(iter(of.values()))
        if all(of[s][name] is not None and base[s][name] is not None for s in seeds)
    }
    order = sorted(gains, key=lambda name: spread(gains[name]).mean)  # type: ignore[union-attr]
    figure = _figure(7.0, 0.26 * len(order) + 1.0)
    panel = figure.subplots()
    means = [sum(gains[name]) / len(seeds) for name in order]
    panel.barh(order, means, color=_ISCC_COLOR, alpha=0.8)
    for place, name in enumerate(order):
        panel.scatter(gains[name], [place] * len(seeds), s=10, color="black", zorder=3, linewidths=0)
    panel.axvline(0, color="black", linewidth=0.8)
    panel.set_xlabel(f"IoU gained over training from scratch at {fraction:g} % of labels, points")
    panel.grid(axis="x", alpha=0.3)
    panel.margins(y=0.01)
    return figure


def png(figure: Figure) -> bytes:
    """A figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": ""})
    return buffer.getvalue()


def svg(figure: Figure) -> str:
    """A figure as an SVG element, the same bytes for the same figure."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": "iscc-lidar"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError("plots need matplotlib; install it with: pip install 'iscc-lidar[train]'") from None
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
