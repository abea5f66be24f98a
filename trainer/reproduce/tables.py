"""The tables as Markdown, the authors' gains beside ours."""

from __future__ import annotations

from collections.abc import Sequence

from iscc_lidar.trainer.reproduce import deck
from iscc_lidar.trainer.reproduce.results import Result, gain_of, mean_of
from iscc_lidar.trainer.reproduce.rows import ABLATION, FURTHER, SCRATCH, SEGMENTATION, Row

_TITLES = {
    "segmentation": "Semantic segmentation, mIoU",
    "ablation": "Ablation, mIoU",
    "further": "Further ablations, mIoU",
}


def tables(results: Sequence[Result], dataset: str) -> str:
    """All tables that there are results for, as one Markdown text."""
    parts = []
    for name, rows in (("segmentation", SEGMENTATION), ("ablation", ABLATION), ("further", FURTHER)):
        # The full method is the measure of its ablations, and no table by itself.
        present = [row for row in rows if any(r.method == row.name for r in results)]
        if present and (name == "segmentation" or {row.name for row in present} != {"iscc"}):
            base = [row for row in SEGMENTATION if row.name == SCRATCH or (name == "further" and row.name == "iscc")]
            extra = [row for row in base if row not in present and any(r.method == row.name for r in results)]
            parts.append(f"### {_TITLES[name]}\n\n{table(results, [*extra, *present], dataset)}")
    return "\n".join(parts)


def table(results: Sequence[Result], rows: Sequence[Row], dataset: str) -> str:
    """One table: for each fraction mIoU, gain over scratch, and the authors' gain where they give one.

    The authors' numbers of SemanticKITTI stand beside those of other data sets as well, and say so in the head.
    """
    theirs = dataset if dataset == "waymo" else "semantickitti"
    fractions = sorted({r.fraction for r in results})
    head = ["", *(f"{f:g} % of labels | gain | authors' gain" for f in fractions)]
    lines = ["| " + " | ".join(head) + " |", "|---" * (1 + 3 * len(fractions)) + "|"]
    for row in rows:
        cells = [row.title + (f": {row.note}" if row.note else "")]
        for fraction in fractions:
            gain = gain_of(results, row.name, fraction) if row.name != SCRATCH else None
            authors = deck.delta(theirs, row.name, fraction) if row.name != SCRATCH else None
            cells += [
                _text(mean_of(results, row.name, fraction)),
                f"{gain.mean:+.1f}" + (f" ± {gain.deviation:.1f}" if gain.count > 1 else "") if gain else "",
                "" if authors is None else f"{authors:+.1f}",
            ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _text(value: object) -> str:
    return "" if value is None else str(value)
