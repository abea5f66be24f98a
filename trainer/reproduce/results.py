"""Scores of fine-tuning runs: read from their folders, kept as .csv files, averaged over seeds."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

import numpy as np

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_json
from iscc_lidar.trainer.reproduce.config import ALONE, ReproduceConfig
from iscc_lidar.trainer.reproduce.experiments import SCRATCH
from iscc_lidar.trainer.reproduce.plan import FineTuning
from iscc_lidar.trainer.reproduce.streets import Part, score_street

Learnt = Mapping[tuple[Part, ...], Collection[str]]
"""Names of the classes in the labels of the sweeps that are learnt from."""


@dataclass(frozen=True)
class Result:
    """Segmentation score of one run. IoU and its means are in percent, None where a class does not occur.

    Attributes:
        method: name of the experiment.
        recipe: of pre-training; schedule: recipe of fine-tuning.
        street: name of the street that is scored; empty without streets.
        labels: what was trained on, the labelled sweeps ``alone`` or labels that were spread from them.
        averaged: whether predictions were averaged with those of groups.
        fraction: labelled share of the training sweeps, percent; with streets the number of labelled sweeps
            for each sequence that is learnt from.
        pretraining: seed of the pre-training; None from scratch.
        iou: of each class, in the dataset's order; of a street only of the classes that were learnt and are scored,
            as are all means.
    """

    file: ClassVar = "results.csv"

    method: str
    recipe: str
    dataset: str
    schedule: str
    street: str
    labels: str
    averaged: bool
    fraction: float
    seed: int
    pretraining: int | None
    miou: float
    miou_objects: float
    accuracy: float
    iou: dict[str, float | None]

    @property
    def score(self) -> float:
        """MIoU."""
        return self.miou


@dataclass(frozen=True)
class BoxResult:
    """AP of one run, class and level, percent; None without labels. See ``Result``.

    Attributes:
        kind: class of the boxes.
        overlap: "3d" or "bev".
        counted: number of labels that count.
    """

    file: ClassVar = "detection.csv"

    method: str
    dataset: str
    schedule: str
    labels: str
    fraction: float
    seed: int
    pretraining: int | None
    kind: str
    level: str
    overlap: str
    counted: int
    ap_r11: float | None
    ap_r40: float | None

    @property
    def score(self) -> float | None:
        """AP at 11 recall positions."""
        return self.ap_r11


R = TypeVar("R", Result, BoxResult)
_RULE_NAMES: Final = {"position": "position", "group": "groups", "both": "position and groups"}


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over ``count`` seeds; the deviation of one is NaN."""

    mean: float
    deviation: float
    count: int

    def __format__(self, sign: str) -> str:
        deviation = "" if math.isnan(self.deviation) else f" ± {self.deviation:.1f}"
        return f"{self.mean:{sign}.1f}{deviation}"

    def __str__(self) -> str:
        return f"{self}"


def read_results(run: FineTuning, config: ReproduceConfig, dataset: str, out: Path, learnt: Learnt) -> list[Result]:
    """Read the scores of a finished segmentation run: one, with streets one of each, and as many averaged over groups.

    ``learnt`` are the names of the classes in the labels of sweeps that are learnt from, with streets.
    """
    content = read_json(out / run.name / "segmentation.json")
    own = run.experiment.recipes
    kinds = [(False, content), *([(True, content["averaged_over_groups"])] if config.average_groups else [])]
    found = []
    for averaged, of_kind in kinds:
        scored: list[tuple[str, Mapping[str, Any]]] = [("", of_kind)]
        if run.draw.learn is not None:
            streets = [street for street in config.all_streets() if street.learn == run.draw.learn]
            counts, classes = of_kind["confusion_by_sequence"], learnt[run.draw.learn]
            names = ["unlabelled", *content["iou"]]
            scored = [(street.name, score_street(street, counts, classes, names, dataset)) for street in streets]
        for street, scores in scored:
            found.append(
                Result(
                    method=run.experiment.name,
                    recipe="none" if own is None else "+".join((*config.pretrain_recipes, *own)),
                    dataset=dataset,
                    schedule=run.schedule,
                    street=street,
                    labels=run.labels,
                    averaged=averaged,
                    fraction=run.draw.amount,
                    seed=run.draw.seed,
                    pretraining=run.pretraining,
                    miou=100 * scores["miou"],
                    miou_objects=100 * scores["miou_objects"],
                    accuracy=100 * scores["accuracy"],
                    iou={name: None if value is None else 100 * value for name, value in scores["iou"].items()},
                )
            )
    return found


def read_box_results(run: FineTuning, dataset: str, out: Path) -> list[BoxResult]:
    """Read the scores of a finished detection run."""
    content = read_json(out / run.name / "detection.json")
    of_run = (run.experiment.name, dataset, run.schedule, run.labels, run.draw.amount, run.draw.seed, run.pretraining)
    return [
        BoxResult(
            *(*of_run, name, level, overlap),
            counted=int(content["labels"][name][level]),
            ap_r11=value,
            ap_r40=content["ap_r40"][overlap][name][level],
        )
        for overlap, classes in content["ap_r11"].items()
        for name, levels in classes.items()
        for level, value in levels.items()
    ]


_BOOLEANS: Final = {"True": True, "False": False}
_PARSERS: Final[dict[str, Callable[[str], Any]]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": lambda text: _BOOLEANS[text],
    "int | None": lambda text: int(text) if text else None,
    "float | None": lambda text: float(text) if text else None,
}
"""Parsers of cells by the type of their field."""


def write_csv(path: Path, results: Sequence[Result] | Sequence[BoxResult]) -> None:
    """Write results, at least one: one per line, one column per field, and per class of ``iou``."""
    lines = [_line(result) for result in results]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    files.write_text(path, text.getvalue())


def read_csv(path: Path, result_type: type[R]) -> list[R]:
    """Read the results that ``write_csv`` wrote. Raises UserError for any other file."""
    types = {field.name: str(field.type) for field in fields(result_type)}

    def parse(line: dict[str, str]) -> R:
        values = {name: _PARSERS[of_type](line[name]) for name, of_type in types.items() if name != "iou"}
        if "iou" in types:
            values["iou"] = {name: _PARSERS["float | None"](line[name]) for name in line if name not in values}
        return result_type(**values)

    try:
        return [parse(line) for line in csv.DictReader(path.read_text(encoding="utf-8").splitlines())]
    except (OSError, UnicodeDecodeError, KeyError, ValueError, TypeError) as error:
        raise UserError(
            f"{path}: not a {result_type.file} of iscc-train reproduce ({type(error).__name__}: {error})"
        ) from None


def _line(result: Result | BoxResult) -> dict[str, str]:
    values = asdict(result)
    return {name: _cell(value) for name, value in {**values, **values.get("iou", {})}.items() if name != "iou"}


def _cell(value: str | float | None) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def by_schedule(results: Sequence[R]) -> dict[str, list[R]]:
    """Group results by what they were fine-tuned by and on, in order of appearance: only within are they comparable.

    The names are of the recipe, of the labels if these were spread, and whether predictions were averaged.
    """
    found: dict[str, list[R]] = {}
    for result in results:
        name = result.schedule
        name += "" if result.labels == ALONE else f" on labels spread by {_RULE_NAMES[result.labels]}"
        if isinstance(result, Result) and result.averaged:
            name += ", averaged over groups"
        found.setdefault(name, []).append(result)
    return found


def spread(values: Iterable[float]) -> Spread | None:
    """Return mean and deviation of values; None without any."""
    found = list(values)
    if not found:
        return None
    deviation = float(np.std(found, ddof=1)) if len(found) > 1 else math.nan
    return Spread(float(np.mean(found)), deviation, len(found))


def mean_of(results: Sequence[R], method: str, fraction: float) -> Spread | None:
    """Return mean and deviation of an experiment's score at a fraction over its seeds."""
    return spread(by_seed(results, method, fraction).values())


def gain_of(results: Sequence[R], method: str, fraction: float, over: str = SCRATCH) -> Spread | None:
    """Return the gain of an experiment over another one, paired by seed: both had the same labels."""
    scores, base = (by_seed(results, name, fraction) for name in (method, over))
    return spread(scores[seed] - base[seed] for seed in sorted(scores.keys() & base.keys()))


def by_seed(results: Sequence[R], method: str, fraction: float) -> dict[int, float]:
    """Return the scores of an experiment at a fraction by seed, where there is one."""
    return {r.seed: r.score for r in results if r.method == method and r.fraction == fraction and r.score is not None}
