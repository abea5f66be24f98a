"""What the corrections of a sequence come to: the object of each group, the class of each object, and exceptions."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.text import one_line
from iscc_lidar.shared.corrections.table import CODES, Correction, Runs

NO_OBJECT: Final = -1


@dataclass(frozen=True)
class Part:
    """What is stated of the points of a row that selects less than a whole group.

    Attributes:
        object: id of their object, or NO_OBJECT.
        class_index: their class if they are of no object; else it is the object's.
        line: of the table.
    """

    object: int
    class_index: int
    line: int

    def same_as(self, other: Part) -> bool:
        """Return whether both state the same."""
        return (self.object, self.class_index) == (other.object, other.class_index)


@dataclass(frozen=True)
class PointsPart:
    """Rows of a sweep, all of one group or code unless ``group`` is None, and what is stated of them."""

    points: Runs
    group: int | None
    part: Part


@dataclass(frozen=True)
class Resolved:
    """The corrections of a sequence.

    Attributes:
        groups: int32 [G], ids of the sequence's groups, ascending.
        object_of: int32 [G], the object that each group is as a whole: the id of a group, or of a new object.
        names: names of new objects, by their ids, which follow those of the groups.
        class_of: class index by object, where it is named.
        class_of_code: class index of all ground and noise points, where they are named.
        sweeps: by group or code, runs of sweeps on which it is something else.
        points: by sweep.
        where: the table, for messages.
    """

    groups: NDArray[np.int32]
    object_of: NDArray[np.int32]
    names: Mapping[int, str]
    class_of: Mapping[int, int]
    class_of_code: Mapping[int, int]
    sweeps: Mapping[int, Sequence[tuple[Runs, Part]]]
    points: Mapping[int, Sequence[PointsPart]]
    where: str

    def objects(self) -> list[int]:
        """Return the ids of all objects, those with a class first, ascending."""
        parts = [part.object for rows in self.sweeps.values() for _, part in rows]
        parts += [row.part.object for rows in self.points.values() for row in rows]
        known = {*self.object_of.tolist(), *self.names, *parts} - {NO_OBJECT}
        return sorted(known, key=lambda found: (self.class_of.get(found, 0) == 0, found))

    def label_of(self, found: int) -> str:
        """Return an object as the table writes it: the id of a group, or a name."""
        return self.names.get(found, str(found))


def resolve(
    corrections: Sequence[Correction], groups: NDArray[np.int32], sweeps: int, class_names: Sequence[str], where: str
) -> Resolved:
    """Resolve the corrections of one sequence.

    Args:
        corrections: rows of this sequence.
        groups: int32 [G], ids of its groups, ascending.
        sweeps: number of its sweeps.
        class_names: names by index.
        where: file of the corrections, for messages.

    Raises:
        UserError: unknown groups, classes or sweeps; merges, classes or parts that contradict each other.
    """
    known, classes = set(groups.tolist()), {name: index for index, name in enumerate(class_names)}
    for row in corrections:
        _check(row, known, sweeps, classes, where)
    new = _new_objects(corrections, int(groups[-1]) + 1 if len(groups) else 0)
    merged = _merged(corrections, new, where)
    final = {group: _follow(group, merged, where) for group in known}

    def find(named: int | str | None) -> int:
        found = new[named] if isinstance(named, str) else NO_OBJECT if named is None else named
        return final.get(found, found)

    def part_of(row: Correction) -> Part:
        own = 0 if row.object is not None or row.class_name is None else classes[row.class_name]
        return Part(find(row.object), own, row.line)

    of_objects = [(find(row.group if row.object is None else row.object), row) for row in corrections
                  if row.object is not None or (_is_whole(row) and row.group not in CODES.values())]  # fmt: skip
    of_codes = [(row.group, row) for row in corrections if _is_whole(row) and row.group in CODES.values()]
    by_group: dict[int, list[tuple[Runs, Part]]] = {}
    by_sweep: dict[int, list[PointsPart]] = {}
    for row in corrections:
        if row.sweeps is not None and row.points is not None:
            by_sweep.setdefault(row.sweeps[0][0], []).append(PointsPart(row.points, row.group, part_of(row)))
        elif row.sweeps is not None and row.group is not None:
            by_group.setdefault(row.group, []).append((row.sweeps, part_of(row)))
    for parts in by_group.values():
        _refuse_overlaps(parts, where)
    return Resolved(
        groups,
        np.array([final[group] for group in groups.tolist()], np.int32),
        {found: name for name, found in new.items()},
        _stated_once(of_objects, classes, where),
        _stated_once(of_codes, classes, where),
        by_group,
        by_sweep,
        where,
    )


def contradiction(where: str, line: int, other: int) -> UserError:
    """Return the error for two rows that state different things of the same points."""
    return UserError(f"{where}, line {line}: states something else of the same points than line {other}")


def _is_whole(row: Correction) -> bool:
    return row.group is not None and row.sweeps is None and row.points is None


def _check(row: Correction, groups: Collection[int], sweeps: int, classes: Mapping[str, int], where: str) -> None:
    at = f"{where}, line {row.line}"
    for group in (row.group, row.object):
        if isinstance(group, int) and group not in groups and group not in CODES.values():
            raise UserError(f"{at}: sequence {one_line(row.sequence)} has no group {group}")
    if row.class_name is not None and row.class_name not in classes:
        near = difflib.get_close_matches(row.class_name, classes, n=1, cutoff=0.0)
        hint = f"; the nearest is {near[0]}" if near else ""
        raise UserError(f"{at}: no class {one_line(row.class_name)!r:.80}{hint}")
    if row.sweeps is not None and row.sweeps[-1][1] > sweeps:
        last = row.sweeps[-1][1] - 1
        raise UserError(f"{at}: sequence {one_line(row.sequence)} has sweeps 0 to {sweeps - 1}, not {last}")


def _new_objects(corrections: Sequence[Correction], first: int) -> dict[str, int]:
    """Return the ids of new objects, in the order of the table."""
    names = dict.fromkeys(row.object for row in corrections if isinstance(row.object, str))
    return {name: first + number for number, name in enumerate(names)}


def _merged(corrections: Sequence[Correction], new: Mapping[str, int], where: str) -> dict[int, tuple[int, Correction]]:
    """Return what each group is as a whole, and the row that states it. Raises UserError where two rows differ."""
    found: dict[int, tuple[int, Correction]] = {}
    for row in corrections:
        if not _is_whole(row) or row.group is None or row.object is None:
            continue
        target = new[row.object] if isinstance(row.object, str) else row.object
        before, earlier = found.setdefault(row.group, (target, row))
        if before != target:
            raise UserError(
                f"{where}, line {row.line}: group {row.group} is object {row.object}, and in line {earlier.line} "
                f"object {earlier.object}"
            )
    return {group: stated for group, stated in found.items() if stated[0] != group}


def _follow(group: int, merged: Mapping[int, tuple[int, Correction]], where: str) -> int:
    """Return the object that a group is after all merges. Raises UserError for merges in a circle."""
    seen = {group: None}
    while group in merged:
        group, row = merged[group]
        if group in seen:
            raise UserError(f"{where}, line {row.line}: groups {', '.join(map(str, seen))} are merged in a circle")
        seen[group] = None
    return group


def _stated_once(
    rows: Sequence[tuple[int | None, Correction]], classes: Mapping[str, int], where: str
) -> dict[int, int]:
    """Return the class index by object or code. Raises UserError where two rows differ."""
    found: dict[int, tuple[int, Correction]] = {}
    for key, row in rows:
        if row.class_name is None or key is None:
            continue
        before, earlier = found.setdefault(key, (classes[row.class_name], row))
        if before != classes[row.class_name]:
            raise UserError(
                f"{where}, line {row.line}: the class is {one_line(row.class_name)}, and of the same object in line "
                f"{earlier.line} {one_line(earlier.class_name)}"
            )
    return {key: index for key, (index, _) in found.items()}


def _refuse_overlaps(parts: Sequence[tuple[Runs, Part]], where: str) -> None:
    """Raise UserError where rows state different things of a group on one sweep."""
    runs = sorted(((start, stop, part) for several, part in parts for start, stop in several), key=lambda run: run[:2])
    until, last = 0, None
    for start, stop, part in runs:
        if last is not None and start < until and not last.same_as(part):
            raise contradiction(where, max(part.line, last.line), min(part.line, last.line))
        if stop > until:
            until, last = stop, part
