"""Audit the labels of a cache: findings of all sequences, as a table and as pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Final

from tqdm import tqdm

from iscc_lidar.preprocess.audit.describe import GroupSweeps, describe_sweep, join
from iscc_lidar.preprocess.audit.findings import Finding, find_errors
from iscc_lidar.preprocess.audit.picture import draw_finding
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.own import OwnFolder
from iscc_lidar.shared.layouts.formats.label_files import LabelSource
from iscc_lidar.shared.layouts.layout import class_colors

_COLUMNS: Final = ("group", "kind", "labelled", "probably", "points", "sweeps", "first", "last")


def audit(labels: LabelSource, sequences: Sequence[str]) -> list[tuple[str, Finding]]:
    """Find likely errors of some sequences, the worst first, each with its sequence.

    Raises UserError where no sweep of them is labelled, or a sequence is unknown.
    """
    places = [(sequence, index) for sequence in sequences for index in labels.sweeps(sequence)]
    if not places:
        raise UserError(f"{labels.cache.path}: no sweep of these sequences has labels to audit")
    found: list[tuple[str, Finding]] = []
    with tqdm(total=len(places), desc="audit", unit="sweep") as bar:
        for sequence in sequences:
            indices = [index for name, index in places if name == sequence]
            rows = join(_described(labels, sequence, indices, bar), len(labels.class_names))
            found += [(sequence, finding) for finding in find_errors(rows, labels.cache.moving_groups(sequence))]
    return sorted(found, key=lambda each: -each[1].score)


def _described(labels: LabelSource, sequence: str, indices: Sequence[int], bar: tqdm[None]) -> Iterator[GroupSweeps]:
    for index in indices:
        sweep = labels.cache.sweep(sequence, index, without=("semantic", "queries", "pixel"))
        yield describe_sweep(sweep, labels.read(sequence, index), len(labels.class_names))
        bar.update()


def write_findings(labels: LabelSource, found: Sequence[tuple[str, Finding]], out: OwnFolder, pictures: int) -> None:
    """Write ``findings.csv``, and with matplotlib a picture of each of the first ones, ``001.png`` and so on."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["rank", "sequence", *_COLUMNS, "score"])
    for rank, (sequence, finding) in enumerate(found, start=1):
        table.writerow([rank, sequence, *row_of(labels, sequence, finding), f"{finding.score:.3f}"])
    out.write("findings.csv", text.getvalue().encode())
    if not find_spec("matplotlib"):
        return
    colors = class_colors(labels.class_names)
    for rank, (sequence, finding) in enumerate(tqdm(found[:pictures], desc="pictures", leave=False), start=1):
        index = finding.sweeps[len(finding.sweeps) // 2]
        sweep = labels.cache.sweep(sequence, index, without=("semantic", "queries", "pixel"))
        title = f"{rank}: {describe(labels, sequence, finding)}"
        out.write(f"{rank:03d}.png", draw_finding(sweep, labels.read(sequence, index), finding, colors, title))


def row_of(labels: LabelSource, sequence: str, finding: Finding) -> list[str | int]:
    """Return group, kind, classes, points, number of sweeps, names of the first and last one."""
    classes = labels.class_names
    return [
        finding.group,
        finding.kind,
        classes[finding.found],
        classes[finding.expected],
        finding.points,
        len(finding.sweeps),
        *(labels.cache.sweep_name(sequence, index) for index in (finding.sweeps[0], finding.sweeps[-1])),
    ]


def describe(labels: LabelSource, sequence: str, finding: Finding) -> str:
    """Describe a finding in a line."""
    group, kind, found, expected, points, sweeps, first, last = row_of(labels, sequence, finding)
    what = {
        "flip": f"is {found} in {sweeps} sweeps, else {expected}",
        "part": f"a part is {found}, most of it {expected}",
        "whole": f"is {found}, looks like {expected}",
    }[str(kind)]
    where = str(first) if first == last else f"{first} to {last}"
    return f"sequence {sequence}, group {group}, {where}: {what} ({points:,} points)"
