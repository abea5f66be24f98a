"""The scores of all detection runs, as rows of detection.csv, and the paper's second table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

from iscc_lidar.shared import files
from iscc_lidar.shared.files import read_json
from iscc_lidar.trainer.reproduce import deck
from iscc_lidar.trainer.reproduce.plan import Tuning
from iscc_lidar.trainer.reproduce.results import Spread, spread
from iscc_lidar.trainer.reproduce.rows import SCRATCH, SEGMENTATION

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
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(BoxResult)])
    for result in results:
        values = asdict(result).values()
        writer.writerow(["" if v is None else f"{v:.6g}" if isinstance(v, float) else str(v) for v in values])
    files.write_text(path, text.getvalue())


def box_tables(results: Sequence[BoxResult], dataset: str) -> str:
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
    fractions = sorted({r.fraction for r in results})
    head = ["", *(f"{f:g} % of labels | gain | authors' gain" for f in fractions)]
    lines = ["| " + " | ".join(head) + " |", "|---" * (1 + 3 * len(fractions)) + "|"]
    methods = {r.method for r in results}
    for row in (row for row in SEGMENTATION if row.name in methods):
        cells = [row.title]
        for fraction in fractions:
            found = _of(results, row.name, fraction)
            base = _of(results, SCRATCH, fraction)
            mean = spread(found.values())
            gain = (
                spread(found[s] - base[s] for s in sorted(found.keys() & base.keys())) if row.name != SCRATCH else None
            )
            authors = deck.detection_delta(kind, row.name, fraction)
            cells += [
                "" if mean is None else str(mean),
                "" if gain is None else _signed(gain),
                "" if authors is None else f"{authors:+.1f}",
            ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _of(results: Sequence[BoxResult], method: str, fraction: float) -> dict[int, float]:
    return {r.seed: r.ap_r11 for r in results if r.method == method and r.fraction == fraction and r.ap_r11 is not None}


def _signed(gain: Spread) -> str:
    return f"{gain.mean:+.1f}" + (f" ± {gain.deviation:.1f}" if gain.count > 1 else "")
