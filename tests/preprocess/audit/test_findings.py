"""Errors that are planted in made-up groups are found, each for what it is, and sound groups give none."""

from __future__ import annotations

import numpy as np

from iscc_lidar.preprocess.audit.describe import LOOKS, GroupSweeps
from iscc_lidar.preprocess.audit.findings import Finding, find_errors

CLASSES = 5
NONE = np.zeros(0, np.int32)


def street(rng: np.random.Generator, sweeps: int = 10) -> GroupSweeps:
    """Forty groups, twenty of class 1 (low and long) and twenty of class 2 (high), 100 points in each sweep."""
    group = np.repeat(np.arange(40), sweeps)
    own = np.where(group < 20, 1, 2)
    classes = np.zeros((len(group), CLASSES), np.int32)
    classes[np.arange(len(group)), own] = 100
    looks = np.where((own == 1)[:, None], 1.0, 3.0) + rng.normal(0, 0.1, (len(group), len(LOOKS)))
    sweep = np.tile(np.arange(sweeps), 40)
    return GroupSweeps(
        sweep.astype(np.int32), group.astype(np.int32), classes.sum(axis=1).astype(np.int32), classes,
        looks.astype(np.float32),
    )  # fmt: skip


def relabel(rows: GroupSweeps, group: int, sweeps: range, to: int, share: float = 1.0) -> None:
    mine = (rows.group == group) & np.isin(rows.sweep, list(sweeps))
    own = 1 if group < 20 else 2
    rows.classes[mine, own] = round(100 * (1 - share))
    rows.classes[mine, to] += round(100 * share)


def kinds(found: list[Finding]) -> list[tuple[str, int, int, int]]:
    return [(each.kind, each.group, each.found, each.expected) for each in found]


def test_sound_labels_give_no_finding() -> None:
    assert find_errors(street(np.random.default_rng(0)), NONE) == []


def test_each_error_is_found_for_what_it_is() -> None:
    rows = street(np.random.default_rng(1))
    relabel(rows, 3, range(4, 7), 4)
    relabel(rows, 25, range(10), 3, share=0.4)
    relabel(rows, 7, range(10), 2)
    found = find_errors(rows, NONE)
    assert sorted(kinds(found)) == [("flip", 3, 4, 1), ("part", 25, 3, 2), ("whole", 7, 2, 1)]
    flip = next(each for each in found if each.kind == "flip")
    assert flip.sweeps == (4, 5, 6)
    assert flip.points == 300
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)


def test_more_points_come_first_and_one_group_is_not_listed_twice() -> None:
    rows = street(np.random.default_rng(2), sweeps=30)
    relabel(rows, 3, range(4, 6), 4)
    relabel(rows, 5, range(3, 7), 4)
    relabel(rows, 30, range(30), 1, share=0.45)
    found = find_errors(rows, NONE)
    assert [each.group for each in found if each.kind == "flip"] == [5, 3]
    assert len([each for each in found if each.group == 30]) == 1


def test_what_usually_looks_alike_is_no_surprise() -> None:
    """Two classes that cannot be told by their looks are not listed group by group before a lone error."""
    rng = np.random.default_rng(3)
    rows = street(rng)
    for group in range(20, 40, 2):  # half of the high groups are of class 3
        relabel(rows, group, range(10), 3)
    relabel(rows, 7, range(10), 4)
    found = [each for each in find_errors(rows, NONE) if each.kind == "whole"]
    assert found[0].group == 7


def test_moving_groups_are_compared_with_moving_ones() -> None:
    rows = street(np.random.default_rng(4))
    rows.looks[:] = np.random.default_rng(5).normal(0, 0.1, rows.looks.shape)
    assert len(find_errors(rows, np.arange(20, dtype=np.int32))) < len(find_errors(rows, NONE)) / 2


def test_few_points_say_nothing() -> None:
    rows = street(np.random.default_rng(6))
    rows.classes[:] = rows.classes // 50
    relabel_to = (rows.group == 3) & (rows.sweep == 4)
    rows.classes[relabel_to] = 0
    rows.classes[relabel_to, 4] = 2
    assert find_errors(rows, NONE) == []
    empty = GroupSweeps(NONE, NONE, NONE, np.zeros((0, CLASSES), np.int32), np.zeros((0, len(LOOKS)), np.float32))
    assert find_errors(empty, NONE) == []
