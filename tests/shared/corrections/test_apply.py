"""Corrections give each point the object and class that the table says, point by point; contradictions are named."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import GROUND, NOISE, NOT_CONSIDERED
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.corrections.apply import apply
from iscc_lidar.shared.corrections.resolve import Resolved, resolve
from iscc_lidar.shared.corrections.table import Correction, as_runs

CLASSES = ("unlabelled", "car", "person", "road")
GROUPS = np.array([2, 5, 6, 9], np.int32)
SWEEPS, POINTS = 3, 8

Name = int | str | None


class ContradictionError(Exception):
    """The table states two things of one."""


class Twin:
    """The rules of docs/labelling.md, one point after the other."""

    def __init__(self, rows: list[Correction], labels: list[NDArray[np.int32]]) -> None:
        self.rows, self.labels = rows, labels
        self.whole = [row for row in rows if row.sweeps is None]
        for group in GROUPS.tolist():
            stated = {row.object for row in self.whole if row.group == group and row.object is not None}
            if len(stated) > 1:
                raise ContradictionError
        for group in GROUPS.tolist():
            self.final(group)
        named = [(self.final(row.object if row.object is not None else row.group), row.class_name) for row in rows
                 if row.class_name and (row.object is not None or (row in self.whole and row.group >= 0))]  # fmt: skip
        named += [
            (f"all of {row.group}", row.class_name) for row in self.whole if row.group is not None and row.group < 0
        ]
        self.class_of = dict(named)
        if len(set(named)) > len(self.class_of):
            raise ContradictionError
        for group in {row.group for row in rows}:
            for index in range(SWEEPS):
                self.only({self.stated(row) for row in self.of_sweeps(group, index)})

    def only(self, found: set[tuple[Name, str | None]]) -> tuple[Name, str | None] | None:
        if len(found) > 1:
            raise ContradictionError
        return next(iter(found), None)

    def final(self, name: Name) -> Name:
        seen = [name]
        while True:
            nexts = [row.object for row in self.whole if row.group == seen[-1] and row.object is not None]
            if isinstance(seen[-1], str) or not nexts or nexts[0] == seen[-1]:
                return seen[-1]
            if nexts[0] in seen:
                raise ContradictionError
            seen.append(nexts[0])

    def of_sweeps(self, group: int | None, index: int) -> list[Correction]:
        rows = [row for row in self.rows if row.sweeps is not None and row.points is None and row.group == group]
        return [row for row in rows if any(start <= index < stop for start, stop in row.sweeps or ())]

    def stated(self, row: Correction) -> tuple[Name, str | None]:
        return (None, row.class_name) if row.object is None else (self.final(row.object), None)

    def point(self, index: int, point: int) -> tuple[Name, int]:
        label = int(self.labels[index][point])
        of_point = [
            row for row in self.rows if row.points is not None and row.sweeps is not None
            and row.sweeps[0][0] == index and any(start <= point < stop for start, stop in row.points)
        ]  # fmt: skip
        if any(row.group is not None and row.group != label for row in of_point):
            raise ContradictionError
        found = self.only({self.stated(row) for row in of_point})
        found = found or self.only({self.stated(row) for row in self.of_sweeps(label, index)})
        if found is None:
            found = (self.final(label), None) if label >= 0 else (None, self.class_of.get(f"all of {label}"))
        name, of_class = found
        of_class = of_class if name is None else self.class_of.get(name)
        return name, CLASSES.index(of_class or "unlabelled")


def sweeps_of(values: list[int]) -> list[NDArray[np.int32]]:
    return list(np.array(values, np.int32).reshape(SWEEPS, POINTS))


LABELS = st.lists(
    st.sampled_from([*GROUPS.tolist(), NOISE, GROUND, NOT_CONSIDERED]),
    min_size=SWEEPS * POINTS,
    max_size=SWEEPS * POINTS,
).map(sweeps_of)
TARGETS = st.sampled_from([*GROUPS.tolist(), "a", "b"])
NAMED = st.sampled_from(CLASSES)


@st.composite
def rows(draw: st.DrawFn) -> Correction:
    kind = draw(st.sampled_from(("whole", "whole", "sweeps", "points")))
    named = draw(st.one_of(st.none(), NAMED))
    target = draw(TARGETS if named is None else st.one_of(st.none(), TARGETS))
    group = draw(st.sampled_from(GROUPS.tolist() if target is not None else [*GROUPS.tolist(), NOISE, GROUND]))
    if kind == "whole":
        return Correction("s", group, target, named)
    chosen = as_runs(np.array(sorted(draw(st.sets(st.integers(0, SWEEPS - 1), min_size=1)))))
    if kind == "sweeps":
        return Correction("s", group, target, named, chosen)
    index = draw(st.integers(0, SWEEPS - 1))
    points = as_runs(np.array(sorted(draw(st.sets(st.integers(0, POINTS - 1), min_size=1)))))
    return Correction("s", draw(st.sampled_from([None, None, group])), target, named, ((index, index + 1),), points)


def applied(found: list[Correction], labels: list[NDArray[np.int32]]) -> list[tuple[Name, int]]:
    resolved = resolve(found, GROUPS, SWEEPS, CLASSES, "table.csv")
    results = []
    for index, label in enumerate(labels):
        objects, classes = apply(resolved, label, index)
        assert (objects.dtype, classes.dtype) == (np.int32, np.uint8)
        names = [None if k < 0 else resolved.names.get(k, k) for k in objects.tolist()]
        results += list(zip(names, classes.tolist(), strict=True))
    return results


@settings(max_examples=400)
@given(st.lists(rows(), max_size=5), LABELS)
def test_each_point_is_what_the_table_says(found: list[Correction], labels: list[NDArray[np.int32]]) -> None:
    try:
        twin = Twin(found, labels)
        expected = [twin.point(index, point) for index in range(SWEEPS) for point in range(POINTS)]
    except ContradictionError:
        with pytest.raises(UserError, match="line"):
            applied(found, labels)
        return
    assert applied(found, labels) == expected


@given(LABELS)
def test_without_corrections_every_group_is_its_own_object(labels: list[NDArray[np.int32]]) -> None:
    found = applied([], labels)
    assert found == [(value if value >= 0 else None, 0) for label in labels for value in label.tolist()]


@given(st.permutations(GROUPS.tolist()), LABELS)
def test_a_chain_of_merges_is_one_object(order: list[int], labels: list[NDArray[np.int32]]) -> None:
    chain = [Correction("s", a, b) for a, b in pairwise(order)]
    found = applied([*chain, Correction("s", order[0], None, "car")], labels)
    expected = [(order[-1], 1) if value >= 0 else (None, 0) for label in labels for value in label.tolist()]
    assert found == expected


def resolved(*found: Correction) -> Resolved:
    numbered = [Correction(**{**vars(row), "line": line}) for line, row in enumerate(found, start=2)]
    return resolve(numbered, GROUPS, SWEEPS, CLASSES, "table.csv")


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([Correction("s", 3, None, "car")], "line 2: sequence s has no group 3"),
        ([Correction("s", 2, 3)], "line 2: sequence s has no group 3"),
        ([Correction("s", 2, None, "cat")], "line 2: no class 'cat'; the nearest is car"),
        ([Correction("s", 2, None, "car", ((0, 4),))], "line 2: sequence s has sweeps 0 to 2, not 3"),
        ([Correction("s", 2, 5), Correction("s", 2, "a")], "line 3: group 2 is object a, and in line 2 object 5"),
        ([Correction("s", 2, 5), Correction("s", 5, 6), Correction("s", 6, 2)], "are merged in a circle"),
        (
            [Correction("s", 2, None, "car"), Correction("s", 2, None, "person")],
            "line 3: the class is person, and of the same object in line 2 car",
        ),
        (
            [Correction("s", 2, None, "car"), Correction("s", 5, 2, "person")],
            "line 3: the class is person, and of the same object in line 2 car",
        ),
        (
            [Correction("s", GROUND, None, "road"), Correction("s", GROUND, None, "car")],
            "line 3: the class is car, and of the same object in line 2 road",
        ),
        (
            [Correction("s", 2, "a", None, ((0, 2),)), Correction("s", 2, "b", None, ((1, 3),))],
            "line 3: states something else of the same points than line 2",
        ),
        (
            [
                Correction("s", 2, "a", None, ((0, 3),)),
                Correction("s", 2, "a", None, ((1, 2),)),
                Correction("s", 2, "b", None, ((2, 3),)),
            ],
            "line 4: states something else of the same points than line 2",
        ),
    ],
)
def test_what_is_unknown_or_contradictory_is_named_by_its_line(found: list[Correction], says: str) -> None:
    with pytest.raises(UserError, match=says):
        resolved(*found)


def test_points_that_are_not_there_or_contradict_each_other_are_named() -> None:
    label = np.array([2, 2, 5, GROUND], np.int32)
    sweep, points = ((0, 1),), ((1, 3),)
    for found, says in (
        (
            [Correction("s", None, "a", None, sweep, ((2, 999_999_999),))],
            "line 2: sweep 0 has points 0 to 3, not 999999998",
        ),
        ([Correction("s", 2, "a", None, sweep, points)], "line 2: point 2 is not of the group of this row"),
        (
            [Correction("s", None, "a", None, sweep, points), Correction("s", None, "b", None, sweep, ((2, 4),))],
            "line 3: states something else of the same points than line 2",
        ),
    ):
        plan = resolved(*found)
        with pytest.raises(UserError, match=says):
            apply(plan, label, 0)
        assert apply(plan, label, 1)[0].tolist() == [2, 2, 5, -1], "of another sweep"


def test_objects_with_a_class_come_first_and_new_ones_have_ids_of_their_own() -> None:
    plan = resolved(
        Correction("s", 9, None, "car"), Correction("s", 2, "b", None, ((0, 1),)), Correction("s", 5, "a", "person")
    )
    assert [plan.label_of(found) for found in plan.objects()] == ["9", "a", "2", "6", "b"]
    assert sorted(plan.names) == [10, 11]
