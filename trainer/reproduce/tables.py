"""The tables as Markdown, with the gains from the authors' slides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from iscc_lidar.trainer.reproduce import authors_slides
from iscc_lidar.trainer.reproduce.config import ALONE
from iscc_lidar.trainer.reproduce.experiments import ABLATION, ALL, FURTHER, SCRATCH, SEGMENTATION, Experiment
from iscc_lidar.trainer.reproduce.results import BoxResult, R, Result, Spread, by_schedule, gain_of, mean_of, spread

_TABLES: Final = (
    ("Semantic segmentation, mIoU", SEGMENTATION),
    ("Ablation, mIoU", ABLATION),
    ("Further ablations, mIoU", FURTHER),
)


def tables(results: Sequence[Result], dataset: str) -> str:
    """Format all tables that have results as one Markdown text."""
    return "\n".join(
        f"### {title}, fine-tuned by {schedule}\n\n{table(own, experiments, dataset)}"
        for schedule, own in by_schedule(results).items()
        for title, experiments in filled(own)
    )


def filled(results: Sequence[Result]) -> list[tuple[str, list[Experiment]]]:
    """Return title and experiments of each table that has results; scratch and ISCC are in all, for comparison."""
    methods = {r.method for r in results}
    found = []
    for title, experiments in _TABLES:
        own = [e for e in experiments if e.name in methods]
        common = [e for e in SEGMENTATION if e.name in (SCRATCH, "iscc") and e.name in methods]
        if title == _TABLES[0][0] or any(e not in common for e in own):
            first, last = ([e for e in common if (e.name == SCRATCH) == wanted] for wanted in (True, False))
            found.append((title, [*first, *(e for e in own if e not in common), *last]))
    return found


def table(results: Sequence[Result], experiments: Sequence[Experiment], dataset: str) -> str:
    """Format the table of one schedule: for each fraction mIoU, gain over scratch, and the authors' gain.

    For datasets that the authors did not use, their gains are those on SemanticKITTI. They neither spread labels nor
    averaged predictions.
    """
    theirs = dataset if dataset == "waymo" else "semantickitti"
    titles = [(e.name, e.title + (f": {e.note}" if e.note else "")) for e in experiments]
    if any(r.averaged or r.labels != ALONE for r in results):
        return _fraction_table(results, titles, lambda name, fraction: None)
    return _fraction_table(results, titles, partial(authors_slides.gain, theirs))


def box_tables(results: Sequence[BoxResult]) -> str:
    """Format a table for each class and schedule: AP R11 moderate in 3-D over the label fractions, and the gains."""
    parts = []
    for schedule, of_schedule in by_schedule(results).items():
        own = [r for r in of_schedule if r.level == "moderate" and r.overlap == "3d"]
        for box_class in dict.fromkeys(r.kind for r in own if r.counted):
            of_class = [r for r in own if r.kind == box_class]
            methods = {r.method for r in of_class}
            titles = [(e.name, e.title) for e in SEGMENTATION if e.name in methods]
            text = _fraction_table(of_class, titles, partial(authors_slides.detection_gain, box_class))
            title = f"### Detection, {box_class} ({of_class[0].counted} labels scored), AP R11 moderate"
            parts.append(f"{title}, fine-tuned by {schedule}\n\n{text}")
    return "\n".join(parts)


def street_tables(results: Sequence[Result], titles: Mapping[str, str]) -> str:
    """Format a table for each schedule: mIoU of each experiment on each street, and the gains over scratch.

    The last rows are means over streets: the deviation there is over streets, not over seeds. ``titles`` are those of
    the streets by name.
    """
    return "\n".join(
        f"### Streets, mIoU of the classes learnt and scored, fine-tuned by {schedule}\n\n{_street_table(own, titles)}"
        for schedule, own in by_schedule(results).items()
    )


def _street_table(results: Sequence[Result], titles: Mapping[str, str]) -> str:
    methods = [e for e in ALL.values() if any(r.method == e.name for r in results)]
    compared = any(e.name == SCRATCH for e in methods)
    columns: list[tuple[str, str, Callable[[Sequence[Result], str, float], Spread | None], str]] = []
    for e in methods:
        columns.append((e.name, e.title, mean_of, ""))
        if compared and e.name != SCRATCH:
            columns.append((e.name, "gain", gain_of, "+"))
    lines = ["| " + " | ".join(["street", "labelled", *(title for _, title, _, _ in columns)]) + " |"]
    lines.append("|---" * (2 + len(columns)) + "|")
    for count in sorted({r.fraction for r in results}):
        streets = dict.fromkeys(r.street for r in results if r.fraction == count)
        rows = [
            [of([r for r in results if r.street == street], name, count) for name, _, of, _ in columns]
            for street in streets
        ]
        over = [spread(value.mean for value in column if value is not None) for column in zip(*rows, strict=True)]
        names = [*(titles.get(street, street) for street in streets), "mean over streets"]
        for name, row in zip(names, [*rows, over], strict=True):
            cells = ["" if v is None else f"{v:{sign}}" for v, (*_, sign) in zip(row, columns, strict=True)]
            lines.append("| " + " | ".join([name, f"{count:g}", *cells]) + " |")
    return "\n".join(lines) + "\n"


def _fraction_table(
    results: Sequence[R], titles: Sequence[tuple[str, str]], authors_gain: Callable[[str, float], float | None]
) -> str:
    """Format one row per experiment, given by name and title: for each fraction mean, gain, and the authors' gain."""
    fractions: list[float] = sorted({r.fraction for r in results})
    header = ["", *(f"{f:g} % of labels | gain | authors' gain" for f in fractions)]
    lines = ["| " + " | ".join(header) + " |", "|---" * (1 + 3 * len(fractions)) + "|"]
    for name, title in titles:
        cells = [title]
        for fraction in fractions:
            mean = mean_of(results, name, fraction)
            gain, theirs = gain_of(results, name, fraction), authors_gain(name, fraction)
            cells += [
                "" if mean is None else f"{mean}",
                "" if gain is None or name == SCRATCH else f"{gain:+}",
                "" if theirs is None or name == SCRATCH else f"{theirs:+.1f}",
            ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
