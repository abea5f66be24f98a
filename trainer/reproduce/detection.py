"""The scores of all detection runs, as rows of detection.csv, and the paper's second table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

from iscc_lidar.shared.base.files import read_json
from iscc_lidar.trainer.reproduce import deck
from iscc_lidar.trainer.reproduce.csv_files import PARSERS, read_lines, write_lines
from iscc_lidar.trainer.reproduce.plan import Tuning
from iscc_lidar.trainer.reproduce.results import Spread, paired_gain, spread
from iscc_lidar.trainer.reproduce.rows import SCRATCH, SEGMENTATION
from iscc_lidar.trainer.reproduce.tables import fraction_table

LEVEL: Final = "moderate"


@dataclass(frozen=True)
class BoxResult:
    """AP of one run, class, level and place of overlap, percent; None where no label counts.

    Attributes:
        method: name of the row; schedule: the recipe it was fine-tuned by.
        fraction: labelled share of the training sweeps, percent.
        pretraining: seed of the pre-training; None from scratch.
        overlap: "3d" or "bev".
        labels: how many labels count.
    """

    method: str
    dataset: str
    schedule: str
    fraction: float
    seed: int
    pretraining: int | None
    kind: str
    level: str
    overlap: str
    labels: int
    ap_r11: float | None
    ap_r40: float | None


_COLUMNS: Final = {field.name: PARSERS[str(field.type)] for field in fields(BoxResult)}
"""Columns of detection.csv, and what each holds."""


def read_box_results(tuning: Tuning, dataset: str, out: Path) -> list[BoxResult]:
    """The results of a finished run."""
    content = read_json(out / tuning.name / "detection.json")
    return [
        BoxResult(
            tuning.row.name,
            dataset,
            tuning.schedule,
            tuning.percent,
            tuning.seed,
            tuning.pretraining,
            kind,
            level,
            overlap,
            int(content["labels"][kind][level]),
            value,
            content["ap_r40"][overlap][kind][level],
        )
        for overlap, kinds in content["ap_r11"].items()
        for kind, levels in kinds.items()
        for level, value in levels.items()
    ]


def write_box_csv(path: Path, results: Sequence[BoxResult]) -> None:
    """Write results, one a line."""
    write_lines(path, tuple(_COLUMNS), (asdict(result).values() for result in results))


def read_box_csv(path: Path) -> list[BoxResult]:
    """Read what write_box_csv wrote. Raises UserError for anything else."""
    return read_lines(path, "detection.csv", _result)


def box_tables(results: Sequence[BoxResult]) -> str:
    """A table for each class and schedule: AP R11 moderate in space over the label fractions, and the gain."""
    parts = []
    for schedule in dict.fromkeys(r.schedule for r in results):
        own = [r for r in results if r.schedule == schedule and r.level == LEVEL and r.overlap == "3d"]
        for kind in dict.fromkeys(r.kind for r in own if r.labels):
            of_kind = [r for r in own if r.kind == kind]
            labels = of_kind[0].labels
            title = f"### Detection, {kind} ({labels} labels scored), AP R11 moderate, fine-tuned by {schedule}"
            parts.append(f"{title}\n\n{_table(of_kind, kind)}")
    return "\n".join(parts)


def _table(results: Sequence[BoxResult], kind: str) -> str:
    methods = {r.method for r in results}

    def figures(method: str, fraction: float) -> tuple[Spread | None, Spread | None, float | None]:
        of, base = (_by_seed(results, name, fraction) for name in (method, SCRATCH))
        return spread(of.values()), paired_gain(of, base), deck.detection_delta(kind, method, fraction)

    rows = [(row.name, row.title) for row in SEGMENTATION if row.name in methods]
    return fraction_table(rows, sorted({r.fraction for r in results}), figures)


def _by_seed(results: Sequence[BoxResult], method: str, fraction: float) -> dict[int, float]:
    return {r.seed: r.ap_r11 for r in results if r.method == method and r.fraction == fraction and r.ap_r11 is not None}


def _result(line: dict[str, str]) -> BoxResult:
    return BoxResult(**{name: parse(line[name]) for name, parse in _COLUMNS.items()})
