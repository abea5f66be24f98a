"""The scores of all fine-tuning runs, as rows of results.csv, and what they say in the mean."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np

from iscc_lidar.shared.base.files import read_json
from iscc_lidar.trainer.reproduce.csv_files import PARSERS, read_lines, write_lines
from iscc_lidar.trainer.reproduce.plan import Tuning
from iscc_lidar.trainer.reproduce.rows import SCRATCH


@dataclass(frozen=True)
class Result:
    """The score of one run; IoU and its means in percent, None where a class does not occur.

    Attributes:
        method: name of the row; recipe: the recipes it was pre-trained with; schedule: the recipe it was fine-tuned by.
        fraction: labelled share of the training sweeps, percent.
        pretraining: seed of the pre-training; None from scratch.
        iou: of each class, in the data set's order.
    """

    method: str
    recipe: str
    dataset: str
    schedule: str
    fraction: float
    seed: int
    pretraining: int | None
    miou: float
    miou_objects: float
    accuracy: float
    iou: dict[str, float | None]


_COLUMNS: Final = {field.name: PARSERS[str(field.type)] for field in fields(Result) if field.name != "iou"}
"""Columns of results.csv before those of the classes, and what each holds."""


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over ``count`` seeds; the deviation of one is NaN."""

    mean: float
    deviation: float
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.1f}{self._deviation}"

    def signed(self) -> str:
        """As a gain: with its sign."""
        return f"{self.mean:+.1f}{self._deviation}"

    @property
    def _deviation(self) -> str:
        return "" if math.isnan(self.deviation) else f" ± {self.deviation:.1f}"


def read_result(tuning: Tuning, recipes: Sequence[str], dataset: str, out: Path) -> Result:
    """The result of a finished run."""
    content = read_json(out / tuning.name / "segmentation.json")
    recipe = "+".join((*recipes, *tuning.row.recipes)) if tuning.row.recipes is not None else "none"
    return Result(
        method=tuning.row.name,
        recipe=recipe,
        dataset=dataset,
        schedule=tuning.schedule,
        fraction=tuning.percent,
        seed=tuning.seed,
        pretraining=tuning.pretraining,
        miou=100 * content["miou"],
        miou_objects=100 * content["miou_objects"],
        accuracy=100 * content["accuracy"],
        iou={name: None if value is None else 100 * value for name, value in content["iou"].items()},
    )


def write_csv(path: Path, results: Sequence[Result]) -> None:
    """Write results, one a line, a column for each class."""
    classes = list(results[0].iou) if results else []
    lines = ((*(getattr(r, name) for name in _COLUMNS), *(r.iou[name] for name in classes)) for r in results)
    write_lines(path, [*_COLUMNS, *classes], lines)


def read_csv(path: Path) -> list[Result]:
    """Read what write_csv wrote. Raises UserError for anything else."""
    return read_lines(path, "results.csv", _result)


def by_schedule(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Results of each fine-tuning recipe, in order of appearance: what may be compared stands together."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.schedule, []).append(result)
    return found


def spread(values: Iterable[float]) -> Spread | None:
    """Mean and deviation of some values; None without any."""
    found = list(values)
    if not found:
        return None
    deviation = float(np.std(found, ddof=1)) if len(found) > 1 else math.nan
    return Spread(float(np.mean(found)), deviation, len(found))


def mean_of(results: Iterable[Result], method: str, fraction: float) -> Spread | None:
    """MIoU of a row at a fraction over its seeds."""
    return spread(r.miou for r in results if r.method == method and r.fraction == fraction)


def gain_of(results: Sequence[Result], method: str, fraction: float, over: str = SCRATCH) -> Spread | None:
    """Gain of a row over another one, seed by seed: both had the same labels."""
    of, base = ({r.seed: r.miou for r in results if r.method == m and r.fraction == fraction} for m in (method, over))
    return paired_gain(of, base)


def paired_gain(of: Mapping[int, float], base: Mapping[int, float]) -> Spread | None:
    """Gain of values by seed over others, of the seeds that both have."""
    return spread(of[seed] - base[seed] for seed in sorted(of.keys() & base.keys()))


def _result(line: dict[str, str]) -> Result:
    iou = {name: float(value) if value else None for name, value in line.items() if name not in _COLUMNS}
    return Result(**{name: kind(line[name]) for name, kind in _COLUMNS.items()}, iou=iou)
