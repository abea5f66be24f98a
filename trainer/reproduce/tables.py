"""The tables as Markdown, the authors' gains beside ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from iscc_lidar.trainer.reproduce import deck
from iscc_lidar.trainer.reproduce.results import Result, Spread, by_schedule, gain_of, mean_of
from iscc_lidar.trainer.reproduce.rows import ABLATION, FURTHER, SCRATCH, SEGMENTATION, Row

_TABLES: Final = (
    ("Semantic segmentation, mIoU", SEGMENTATION),
    ("Ablation, mIoU", ABLATION),
    ("Further ablations, mIoU", FURTHER),
)


def tables(results: Sequence[Result], dataset: str) -> str:
    """All tables that there are results for, as one Markdown text."""
    return "\n".join(
        f"### {title}, fine-tuned by {schedule}\n\n{table(own, rows, dataset)}"
        for schedule, own in by_schedule(results).items()
        for title, rows in filled(own)
    )


def filled(results: Sequence[Result]) -> list[tuple[str, list[Row]]]:
    """Titles and rows of the tables that there are results for; scratch and ISCC stand in each, to compare with."""
    methods = {r.method for r in results}
    found = []
    for title, rows in _TABLES:
        own = [row for row in rows if row.name in methods]
        common = [row for row in SEGMENTATION if row.name in (SCRATCH, "iscc") and row.name in methods]
        if title == _TABLES[0][0] or any(row not in common for row in own):
            first, last = ([row for row in common if (row.name == SCRATCH) == wanted] for wanted in (True, False))
            found.append((title, [*first, *(row for row in own if row not in common), *last]))
    return found


def table(results: Sequence[Result], rows: Sequence[Row], dataset: str) -> str:
    """One table of one schedule: for each fraction mIoU, gain over scratch, and the authors' gain where they give one.

    The authors' numbers of SemanticKITTI stand beside those of other data sets as well, and say so in the head.
    """
    theirs = dataset if dataset == "waymo" else "semantickitti"
    return fraction_table(
        [(row.name, row.title + (f": {row.note}" if row.note else "")) for row in rows],
        sorted({r.fraction for r in results}),
        lambda method, fraction: (
            mean_of(results, method, fraction),
            gain_of(results, method, fraction),
            deck.delta(theirs, method, fraction),
        ),
    )


def fraction_table(
    rows: Sequence[tuple[str, str]],
    fractions: Sequence[float],
    figures: Callable[[str, float], tuple[Spread | None, Spread | None, float | None]],
) -> str:
    """A row a method, given by name and title; for each fraction its mean, its gain over scratch, the authors' gain."""
    head = ["", *(f"{f:g} % of labels | gain | authors' gain" for f in fractions)]
    lines = ["| " + " | ".join(head) + " |", "|---" * (1 + 3 * len(fractions)) + "|"]
    for name, title in rows:
        cells = [title]
        for fraction in fractions:
            mean, gain, authors = figures(name, fraction)
            cells += [
                "" if mean is None else str(mean),
                gain.signed() if gain is not None and name != SCRATCH else "",
                f"{authors:+.1f}" if authors is not None and name != SCRATCH else "",
            ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
