"""Audit the labels of a cache: findings of all sequences, as a table and as pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from iscc_lidar.preprocess.audit.describe import GroupSweeps, describe_sweep, join
from iscc_lidar.preprocess.audit.findings import Finding, find_errors
from iscc_lidar.preprocess.audit.picture import draw_finding
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.own import OwnFolder
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.layouts.formats.label_files import LabelFiles
from iscc_lidar.shared.layouts.layout import class_colors

_COLUMNS: Final = ("group", "kind", "labelled", "probably", "points", "sweeps", "first", "last")


@dataclass(frozen=True)
class Labels:
    """The labels in question: those of a cache, or files of its sweeps.

    Attributes:
        cache: groups and points.
        files: labels that are not in the cache.
    """

    cache: Cache
    files: LabelFiles | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes by index."""
        return self.cache.manifest.class_names if self.files is None else self.files.class_names

    def sweeps(self, sequence: str) -> list[int]:
        """Return the indices of a sequence's labelled sweeps."""
        if self.files is None:
            return self.cache.labelled_sweeps(sequence)
        return [k for k, name in enumerate(self.cache.sweep_names(sequence)) if self.files.has(sequence, name)]

    def read(self, sequence: str, index: int) -> NDArray[np.uint8]:
        """Read the classes of a sweep's points, uint8 [N]."""
        if self.files is None:
            return self.cache.classes(sequence, index)
        name = self.cache.sweep_names(sequence)[index]
        return self.files.read(sequence, name, len(self.cache.label(sequence, index)))


def audit(labels: Labels, sequences: Sequence[str]) -> list[tuple[str, Finding]]:
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
            found += [(sequence, finding) for finding in find_errors(rows, _moving_groups(labels.cache, sequence))]
    return sorted(found, key=lambda each: -each[1].score)


def _described(labels: Labels, sequence: str, indices: Sequence[int], bar: tqdm[None]) -> Iterator[GroupSweeps]:
    for index in indices:
        sweep = labels.cache.sweep(sequence, index, without=("semantic", "queries", "pixel"))
        yield describe_sweep(sweep, labels.read(sequence, index), len(labels.class_names))
        bar.update()


def _moving_groups(cache: Cache, sequence: str) -> NDArray[np.int32]:
    tables = [block.group_rows for block in cache.blocks(sequence)]
    found = [rows["group"].to_numpy()[rows["moving"].to_numpy(zero_copy_only=False)] for rows in tables]
    return np.unique(np.concatenate(found)).astype(np.int32)


def write_findings(labels: Labels, found: Sequence[tuple[str, Finding]], out: OwnFolder, pictures: int) -> None:
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


def row_of(labels: Labels, sequence: str, finding: Finding) -> list[str | int]:
    """Return group, kind, classes, points, number of sweeps, names of the first and last one."""
    names, classes = labels.cache.sweep_names(sequence), labels.class_names
    return [
        finding.group,
        finding.kind,
        classes[finding.found],
        classes[finding.expected],
        finding.points,
        len(finding.sweeps),
        names[finding.sweeps[0]],
        names[finding.sweeps[-1]],
    ]


def describe(labels: Labels, sequence: str, finding: Finding) -> str:
    """Describe a finding in a line."""
    group, kind, found, expected, points, sweeps, first, last = row_of(labels, sequence, finding)
    what = {
        "flip": f"is {found} in {sweeps} sweeps, else {expected}",
        "part": f"a part is {found}, most of it {expected}",
        "whole": f"is {found}, looks like {expected}",
    }[str(kind)]
    where = str(first) if first == last else f"{first} to {last}"
    return f"sequence {sequence}, group {group}, {where}: {what} ({points:,} points)"
