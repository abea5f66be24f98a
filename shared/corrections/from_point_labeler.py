"""What a person changed in a folder that was exported for point_labeler, as corrections.

A stroke of a class names the whole group, on all sweeps, if at least 80 % of the group's points that have a class are
of it. All else is taken literally: points of other classes, and what instances were made of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import GROUND, NOISE
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import regular
from iscc_lidar.shared.cache.instances import sequence_groups
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.corrections.table import Correction, Runs, as_runs
from iscc_lidar.shared.layouts.formats.exported import is_exported
from iscc_lidar.shared.layouts.formats.point_labeler import decode, encode

AGREEING: Final = 0.8
"""Share of a group's points with a class that have to be of one, as for labels that are spread."""
_NOTHING: Final = -1
_Change: TypeAlias = "tuple[int, int, int]"
"""Group or code before; class index; and object after: id of a group, _NOTHING, or below it -2 - a new instance."""


@dataclass(frozen=True)
class _Changed:
    """Points of a sweep that were changed: their rows, int64 [M], and a _Change of each, int64 [M, 3]."""

    rows: NDArray[np.int64]
    change: NDArray[np.int64]


def is_point_labeler(folder: Path) -> bool:
    """Return whether the folder of a sequence looks as if it was exported for point_labeler."""
    return (folder / "labels").is_dir() and (folder / "velodyne").is_dir()


def read_changes(cache: Cache, sequence: str, folder: Path, class_names: Sequence[str]) -> list[Correction]:
    """Find what was changed in ``folder/SEQUENCE``.

    Raises UserError for files that are damaged, or of another cache.
    """
    if not is_exported(cache, sequence, folder):
        raise UserError(f"{folder / sequence}: was not exported completely; run iscc-cache export again, then label it")
    points = _count(_changed(cache, sequence, folder, len(class_names)))
    named, sizes = _named(points), _sizes(cache, sequence)
    rows = [_row(sequence, class_names, (group, index, _NOTHING)) for group, index in sorted(named.items())]
    literal: dict[int, set[_Change]] = {}
    for change, by_sweep in sorted(points.items()):
        if _is_stroke(change) and named.get(change[0]) == change[1]:
            continue
        is_object_of_code = change[0] < 0 and change[2] != _NOTHING
        size = {} if is_object_of_code else sizes.get(change[0], {})
        whole = [index for index, count in by_sweep.items() if size.get(index) == count]
        if whole and (len(whole) < len(size) or change[0] < 0):
            rows.append(_row(sequence, class_names, change, as_runs(np.array(sorted(whole)))))
        elif whole:
            rows.append(_row(sequence, class_names, change))
        for index in by_sweep.keys() - set(whole):
            literal.setdefault(index, set()).add(change)
    if literal:
        for index, found in enumerate(_changed(cache, sequence, folder, len(class_names))):
            rows += _points(sequence, class_names, index, found, literal.get(index, set()))
    return rows


def _changed(cache: Cache, sequence: str, folder: Path, classes: int) -> Iterator[_Changed]:
    """Yield what was changed on each sweep."""
    groups = sequence_groups(cache, sequence)
    for index in range(cache.sequence(sequence).sweeps):
        label = cache.label(sequence, index)
        file = folder / sequence / "labels" / f"{index:06d}.label"
        after = _read(file, len(label))
        rows = np.flatnonzero(after != encode(label, groups.rank_of(label), groups.moving))
        found = decode(after[rows], len(groups.group), classes, str(file))
        target = np.where(found.instance > 0, -2 - found.instance, _NOTHING)
        in_group = found.rank >= 0
        target[in_group] = groups.group[found.rank[in_group]]
        yield _Changed(rows, np.stack([label[rows].astype(np.int64), found.class_index, target], axis=1))


def _read(file: Path, points: int) -> NDArray[np.uint32]:
    if not file.is_file():
        raise UserError(f"{file}: no such file; expected the labels that were exported")
    size = file.stat().st_size
    if size != 4 * points:
        raise UserError(f"{file}: {size} bytes, expected 4 for each of the sweep's {points} points")
    return np.fromfile(regular(file), dtype="<u4").astype(np.uint32)


def _count(changed: Iterator[_Changed]) -> dict[_Change, dict[int, int]]:
    """Count the points of each change by sweep."""
    found: dict[_Change, dict[int, int]] = {}
    for index, sweep in enumerate(changed):
        changes, counts = np.unique(sweep.change, axis=0, return_counts=True)
        for (group, of_class, target), count in zip(changes.tolist(), counts.tolist(), strict=True):
            found.setdefault((group, of_class, target), {})[index] = count
    return found


def _is_stroke(change: _Change) -> bool:
    """Return whether points of a group got a class, and no instance."""
    group, of_class, target = change
    return group >= 0 and of_class > 0 and target == _NOTHING


def _named(points: dict[_Change, dict[int, int]]) -> dict[int, int]:
    """Return the class index by group, where strokes of classes agree."""
    strokes: dict[int, Counter[int]] = {}
    for change, by_sweep in points.items():
        if _is_stroke(change):
            strokes.setdefault(change[0], Counter())[change[1]] += sum(by_sweep.values())
    best = {group: counts.most_common(1)[0] for group, counts in strokes.items()}
    return {group: index for group, (index, n) in best.items() if n >= AGREEING * strokes[group].total()}


def _sizes(cache: Cache, sequence: str) -> dict[int, dict[int, int]]:
    """Return the points of each group, of ground and of noise on each sweep that has any."""
    found: dict[int, dict[int, int]] = {}
    for block in cache.blocks(sequence):
        rows = (block.group_rows[name].to_pylist() for name in ("group", "sweep", "points"))
        for group, index, count in zip(*rows, strict=True):
            found.setdefault(group, {})[index] = count
        for code, column in ((GROUND, "ground"), (NOISE, "noise")):
            of_code = zip(block.sweeps["sweep"].to_pylist(), block.sweeps[column].to_pylist(), strict=True)
            found.setdefault(code, {}).update({index: count for index, count in of_code if count})
    return found


def _points(
    sequence: str, class_names: Sequence[str], index: int, found: _Changed, wanted: set[_Change]
) -> Iterator[Correction]:
    """Yield the points of a sweep whose change is stated for single points, one row for each class and object."""
    if not wanted:
        return
    changes, at = np.unique(found.change, axis=0, return_inverse=True)
    chosen = np.array([tuple(change) in wanted for change in changes.tolist()])[at.ravel()]
    rows, stated = found.rows[chosen], found.change[chosen][:, 1:]
    for of_class, target in np.unique(stated, axis=0).tolist():
        same = (stated == (of_class, target)).all(axis=1)
        sweep, runs = ((index, index + 1),), as_runs(rows[same])
        yield _row(sequence, class_names, (None, of_class, target), sweep, runs)


def _row(
    sequence: str,
    class_names: Sequence[str],
    change: tuple[int | None, int, int],
    sweeps: Runs | None = None,
    points: Runs | None = None,
) -> Correction:
    group, of_class, target = change
    is_new = target < _NOTHING
    new = f"o{(-2 - target) & 0xFFFF}-{(-2 - target) >> 16}"
    name = class_names[of_class] if of_class > 0 or target == _NOTHING else None
    return Correction(sequence, group, new if is_new else None if target == _NOTHING else target, name, sweeps, points)
