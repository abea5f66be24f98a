"""Curves of a run: panels of series over the step, thinned to the resolution of a screen."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.pretrain.teacher import momentum_at
from iscc_lidar.trainer.report.health import chance_level
from iscc_lidar.trainer.report.record import RunRecord
from iscc_lidar.trainer.run.schedule import learning_rate

# S logged steps, P points of a curve

MOST_POINTS: Final = 300
"""A curve has at most this many points; longer logs are averaged over sections of equal length."""
SMOOTHING: Final = 0.05
"""The smooth line is the mean over this share of the log, centred; at least five logged steps."""


@dataclass(frozen=True)
class Series:
    """One curve.

    Attributes:
        look: number of its colour and dash: of its run where several are shown, else of its name in the panel.
        name: within the panel; of several runs the run's number, from 1.
        step: float64 [P]; low, high: float64 [P], range of the raw values there; mean: float64 [P], smoothed.
        last: mean over the last tenth of the log, as in the verdicts.
    """

    look: int
    name: str
    step: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    mean: NDArray[np.float64]
    last: float


@dataclass(frozen=True)
class Panel:
    """One small chart: its series, and reference levels as (value, name).

    The axis covers at least ``bounds``. ``resting`` is shown next to the title instead of the last values.
    """

    title: str
    about: str
    series: tuple[Series, ...] = ()
    levels: tuple[tuple[float, str], ...] = ()
    bounds: tuple[float, float] | None = None
    resting: str = ""


_PANELS: Final = (
    (Panel("Loss", "weighted sum of its terms"), {"loss": "loss"}),
    (Panel("Global clustering", "cross-entropy to the teacher's prototypes"), {"loss_global": "loss"}),
    (Panel("Local contrast", "InfoNCE over the groups of a scene"), {"loss_local": "loss"}),
    (
        Panel("Contrast", "InfoNCE; its value for uninformative features"),
        {"loss_contrast": "loss", "guessing": "guessing"},
    ),
    (Panel("Occupancy", "binary cross-entropy of the queries"), {"loss_occupancy": "loss"}),
    (
        Panel("Occupancy accuracy", "share of queries predicted right", bounds=(0, 1)),
        {"occupancy_accuracy_occupied": "occupied", "occupancy_accuracy_free": "free"},
    ),
    (
        Panel("Cosine of group features", "between the views: same group, different groups", bounds=(0, 1)),
        {"cosine_same": "same", "cosine_others": "others"},
    ),
    (Panel("Prototypes used", "nearest to at least one recent region"), {"prototypes_used": "used"}),
    (
        Panel("Agreement", "groups with the same prototype for student and teacher", bounds=(0, 1)),
        {"agreement": "share"},
    ),
    (Panel("Gradient norm", "before clipping", bounds=(0, 0)), {"gradient_norm": "norm"}),
)
"""Panels without series, and the columns that each shows, by name in the log, with their labels."""
_SHOWN_ELSEWHERE: Final = {name for _, columns in _PANELS for name in columns} | {
    "occupancy_accuracy",
    "occupancy_accuracy_balanced",
}


def panels(run: RunRecord) -> list[Panel]:
    """Return all panels of a run, in a fixed order."""
    known = [_panel(panel, columns, run) for panel, columns in _PANELS]
    others = sorted(set(run.figures) - _SHOWN_ELSEWHERE)
    extra = [_panel(Panel(name.replace("_", " ").capitalize(), "as logged"), {name: name}, run) for name in others]
    return [p for p in known if p.series] + _schedules(run) + [p for p in extra if p.series]


def joined_panels(runs: Sequence[RunRecord]) -> list[Panel]:
    """Return the panels of several runs: one for each figure, with a curve of each run that has logged it.

    A level is left out where it is not that of all these runs.
    """
    found: dict[tuple[str, str], list[Panel]] = {}
    for number, run in enumerate(runs):
        for panel in panels(run):
            for series in panel.series:
                own = replace(series, look=number, name=str(number + 1))
                found.setdefault((panel.title, series.name), []).append(replace(panel, series=(own,)))
    names = Counter(title for title, _ in found)
    return [
        _join(f"{title}: {name}" if names[title] > 1 else title, of_runs) for (title, name), of_runs in found.items()
    ]


def _join(title: str, of_runs: Sequence[Panel]) -> Panel:
    first = of_runs[0]
    levels = first.levels if all(_are_close(panel.levels, first.levels) for panel in of_runs) else ()
    series = tuple(series for panel in of_runs for series in panel.series)
    return replace(first, title=title, series=series, levels=levels, resting="")


def _are_close(levels: Sequence[tuple[float, str]], others: Sequence[tuple[float, str]]) -> bool:
    pairs = zip(levels, others, strict=False)
    same = all(math.isclose(a, b, rel_tol=0.005) and name == other for (a, name), (b, other) in pairs)
    return same and len(levels) == len(others)


def thin(look: int, name: str, step: NDArray[np.int64], values: NDArray[np.float64], last: float) -> Series:
    """Smooth and thin a logged figure [S], without its gaps (NaN)."""
    there = np.isfinite(values)
    step, values = step[there], values[there]
    parts = np.array_split(np.arange(len(values)), min(len(values), MOST_POINTS)) if len(values) else []
    smooth = running_mean(values, max(int(SMOOTHING * len(values)), 5))
    return Series(
        look,
        name,
        np.array([step[p].mean() for p in parts]),
        np.array([values[p].min() for p in parts]),
        np.array([values[p].max() for p in parts]),
        np.array([smooth[p].mean() for p in parts]),
        last,
    )


def running_mean(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Return the mean over ``width`` values [S] around each; fewer near the ends."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    place = np.arange(len(values))
    low, high = np.maximum(place - width // 2, 0), np.minimum(place + (width - 1) // 2 + 1, len(values))
    mean: NDArray[np.float64] = (total[high] - total[low]) / np.maximum(high - low, 1)
    return mean


def _panel(panel: Panel, columns: Mapping[str, str], run: RunRecord) -> Panel:
    series = [
        thin(look, label, run.step, run.figures[column], run.mean(column, last=True))
        for look, (column, label) in enumerate(columns.items())
        if column in run.figures and np.isfinite(run.figures[column]).any()
    ]
    return replace(panel, series=tuple(series), levels=_levels(next(iter(columns)), run))


def _levels(column: str, run: RunRecord) -> tuple[tuple[float, str], ...]:
    chance = chance_level(run, column)
    if chance is not None:
        return ((chance, "guessing"),)
    if column.startswith("occupancy_accuracy"):
        return ((0.5, "guessing"),)
    if column == "prototypes_used" and isinstance(run.config, IsccConfig):
        return ((run.config.prototypes.count, "all"),)
    if column == "gradient_norm" and run.config.train.clip_norm > 0:
        return ((run.config.train.clip_norm, "clipped above"),)
    return ()


def _schedules(run: RunRecord) -> list[Panel]:
    resting = "peak " + ", ".join(f"{peak:g}" for peak in dict.fromkeys(peak for _, peak, _ in _peaks(run)))
    found = [Panel("Learning rate", "by the schedule", tuple(_rates(run)), resting=resting)]
    if hasattr(run.config, "teacher"):
        teacher = run.config.teacher
        momentum = _by_schedule(0, "momentum", run, partial(momentum_at, steps=run.run.steps, config=teacher))
        resting = f"{teacher.momentum_start:g} → {teacher.momentum_end:g}"
        found.append(Panel("Teacher momentum", "by the schedule", (momentum,), resting=resting))
    return found


def _rates(run: RunRecord) -> list[Series]:
    def rate(step: int, peak: float, first: int) -> float:
        return learning_rate(step - first, run.run.steps - first, peak) if step >= first else 0.0

    return [
        _by_schedule(look, name, run, partial(rate, peak=peak, first=first))
        for look, (name, peak, first) in enumerate(_peaks(run))
    ]


def _peaks(run: RunRecord) -> list[tuple[str, float, int]]:
    """List name, peak and first step of the learning rates of a run."""
    train = run.config.train
    if run.run.task == "pretrain":
        return [("rate", train.learning_rate, 0)]
    new = ("head", train.head_learning_rate, 0)
    if not run.provenance.get("encoder_sha256"):
        return [new]
    return [new, ("encoder", train.encoder_learning_rate, round(train.freeze_fraction * run.run.steps))]


def _by_schedule(look: int, name: str, run: RunRecord, value_at: Callable[[int], float]) -> Series:
    step = np.unique(np.linspace(0, run.run.steps - 1, MOST_POINTS).round())
    values = np.array([value_at(int(s)) for s in step])
    return Series(look, name, step, values, values, values, float(values[-1]))


def value_range(panel: Panel) -> tuple[float, float]:
    """Return the range of a panel's axis: all smooth values and levels, logged ones without the outermost percent."""
    raw = np.concatenate([np.concatenate([s.low, s.high]) for s in panel.series])
    smooth = np.concatenate([s.mean for s in panel.series])
    levels = [value for value, _ in panel.levels]
    low, high = np.percentile(raw, [0.5, 99.5])
    low, high = min(low, smooth.min(), *levels), max(high, smooth.max(), *levels)
    if panel.bounds is not None:
        low, high = min(low, panel.bounds[0]), max(high, panel.bounds[1])
    if math.isclose(low, high, rel_tol=1e-9, abs_tol=1e-12):
        low, high = low - 0.5, high + 0.5
    return float(low), float(high)
