"""The rule against a slow twin without grid and tree, and one property at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iscc_lidar.data_schemas.labels import GROUND, NOISE, NOT_CONSIDERED
from iscc_lidar.data_schemas.spread import FROM_GROUP, FROM_NOTHING, FROM_POSITION
from iscc_lidar.preprocess.spread.confidence import of_group, of_place
from iscc_lidar.preprocess.spread.evidence import count_votes, gather_places
from iscc_lidar.preprocess.spread.rule import SpreadConfig, spread_to

CLASSES = 4
ALL = SpreadConfig(min_confidence=0.0)


def scene(rng: np.random.Generator, points: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of which no two are in one cell of 0.1 m, labels and classes, random."""
    cell = rng.permutation(8**3)[:points]
    xyz = np.stack(np.unravel_index(cell, (8, 8, 8)), axis=1) * 0.25 + rng.uniform(-0.04, 0.04, (points, 3))
    label = rng.choice(np.array([NOT_CONSIDERED, GROUND, NOISE, 0, 1, 2, 3], np.int32), points)
    return xyz, label, rng.integers(0, CLASSES, points).astype(np.uint8)


def twin(xyz: np.ndarray, label: int, labelled: list[Any], moving: set[int], config: SpreadConfig) -> tuple[int, int]:
    """Source and class of one point, by loops."""
    votes: dict[int, list[int]] = {}
    if not any(found for _, _, found in labelled):
        labelled = []  # nobody labelled this sweep
    for _, of, found in labelled:
        if of >= 0:
            votes.setdefault(of, []).append(found)
    majority = {}
    for of, found in votes.items():
        counts = np.bincount(found, minlength=CLASSES)
        if counts.max() >= 0.8 * counts.sum():
            majority[of] = int(counts.argmax())
    standing = [(x, of, c) for x, of, c in labelled if not (of in majority and of in moving)]
    ground, solid = ([p for p in standing if (p[1] == GROUND) == side] for side in (True, False))
    searches = [(ground, config.reach_m), (solid, config.reach_m / 2)]
    if label != GROUND:
        searches = [(solid, 0.2 if label in moving else config.reach_m)]
    for pool, reach in searches:
        centre = [math.floor(value / 0.2) * 0.2 + 0.1 for value in xyz.tolist()]
        near = sorted((float(np.linalg.norm(centre - x)), int(c)) for x, _, c in pool)
        if near and near[0][0] < reach:
            return FROM_POSITION, near[0][1]
    return (FROM_GROUP, majority[label]) if label in majority else (FROM_NOTHING, 0)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_the_rule_is_that_of_a_slow_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labelled = scene(rng, int(rng.integers(0, 60)))
    if seed % 8 == 0:
        labelled[2][:] = 0
    moving = np.array([1, 3], np.int32)
    votes = count_votes([labelled[1:]], moving, CLASSES)
    places = gather_places([labelled], votes)
    rows = list(zip(*labelled, strict=True))
    world, label, _ = scene(rng, 80)
    found = spread_to(world, label, votes, places, ALL)
    expected = [twin(world[k], int(label[k]), rows, {1, 3}, ALL) for k in range(len(label))]
    assert list(zip(found.source.tolist(), found.classes.tolist(), strict=True)) == expected
    assert ((found.confidence > 0) == (found.classes > 0)).all()


def one(label: int, at: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([at]), np.array([label], np.int32)


def test_invalid_points_have_no_class() -> None:
    votes = count_votes([(np.array([1], np.int32), np.array([2], np.uint8))], np.array([1], np.int32), CLASSES)
    places = gather_places([], votes)
    world, label = one(1, (0, 0, 0))
    assert spread_to(world, label, votes, places, ALL).classes.tolist() == [2]
    assert spread_to(world * np.nan, label, votes, places, ALL).classes.tolist() == [0]


def test_a_place_between_two_classes_is_left_empty() -> None:
    votes = count_votes([], np.zeros(0, np.int32), CLASSES)
    xyz, label = np.array([[0.0, 0, 0], [0.6, 0, 0]]), np.array([NOISE, NOISE], np.int32)
    places = gather_places([(xyz, label, np.array([1, 2], np.uint8))], votes)
    for x, told in ((0.05, True), (0.29, False), (0.55, True)):
        found = spread_to(*one(NOISE, (x, 0, 0)), votes, places, SpreadConfig(min_confidence=0.7))
        assert (found.classes[0] > 0) == told
        assert (found.source[0] != FROM_NOTHING) == told


@pytest.mark.parametrize("ground", [True, False])
def test_labels_are_never_surer_farther_away_and_surer_the_farther_other_classes_are(ground: bool) -> None:
    near, far = np.array([0.0, 0.1, 0.4, 0.8]), np.full(4, 0.4)
    assert (np.diff(of_place(near, far, ground=ground)) <= 0).all()
    assert (np.diff(of_place(far, near, ground=ground)) > 0).all()
    for moving in (True, False):
        found = of_group(np.array([0.8, 0.9, 1.0]), moving=moving)
        assert (np.diff(found) > 0).all()
        assert ((found > 0.5) & (found < 1)).all()


def test_alone_position_knows_no_groups_and_groups_no_position() -> None:
    label = np.array([1, 2, GROUND], np.int32)
    xyz, semantic = np.array([[0.0, 0, 0], [5, 0, 0], [0, 5, 0]]), np.array([1, 2, 3], np.uint8)
    moving = np.array([1], np.int32)
    votes = count_votes([(label, semantic)], moving, CLASSES)
    there = np.array([[0.1, 0, 0], [5.5, 0, 0], [9, 9, 9], [0.1, 5, 0]])
    its = np.array([2, 1, 1, GROUND], np.int32)
    answers = {
        rule: spread_to(
            there, its, votes, gather_places([(xyz, label, semantic)], None if rule == "position" else votes),
            SpreadConfig(rule=rule),
        ).classes.tolist()
        for rule in ("both", "position", "group")
    }  # fmt: skip
    assert answers == {"both": [2, 1, 1, 3], "position": [1, 2, 0, 3], "group": [2, 1, 1, 3]}


def test_nothing_moves_where_something_stands_and_what_moves_is_not_of_the_class_of_what_it_passes() -> None:
    labelled = np.array([7, NOISE], np.int32), np.array([1, 2], np.uint8)
    votes = count_votes([labelled], np.array([7, 8], np.int32), CLASSES)  # 8 moves, and no labelled sweep shows it
    places = gather_places([(np.array([[9.0, 9, 9], [0, 0, 0]]), *labelled)], votes)
    world = np.array([[0.05, 0, 0], [0.5, 0, 0]] * 3)
    label = np.array([7, 7, 8, 8, 3, 3], np.int32)
    assert spread_to(world, label, votes, places, ALL).classes.tolist() == [2, 1, 2, 0, 2, 2]


def test_what_people_left_unlabelled_stays_unlabelled() -> None:
    """A pole below a sign, a moving object that has no class of its own, ground beside the road."""
    xyz = np.array([[0.0, 0, 2], [0, 0, 1], [9, 9, 9], [0, 5, 0], [0, 5.5, 0], [3, 3, 3], [3, 3, 3.3]])
    label = np.array([NOISE, NOISE, 1, GROUND, GROUND, 2, 2], np.int32)
    semantic = np.array([1, 0, 0, 2, 0, 3, 0], np.uint8)
    votes = count_votes([(label, semantic)], np.array([1], np.int32), CLASSES)
    there = np.array([[0, 0, 2.1], [0, 0, 1.1], [4, 4, 4], [0, 5.1, 0], [0, 5.7, 0], [8, 8, 8]])
    its = np.array([NOISE, NOISE, 1, GROUND, GROUND, 2], np.int32)
    found = spread_to(there, its, votes, gather_places([(xyz, label, semantic)], votes), ALL)
    assert found.classes.tolist() == [1, 0, 0, 2, 0, 0], "the last: half of its group was left unlabelled"
    why = [FROM_POSITION, FROM_POSITION, FROM_GROUP, FROM_POSITION, FROM_POSITION, FROM_NOTHING]
    assert found.source.tolist() == why, "of half of a group nothing is known"
    assert ((found.confidence == 0) == (found.classes == 0)).all()
    nobody = np.zeros(len(label), np.uint8)
    votes = count_votes([(label, semantic), (label, nobody)], np.array([1], np.int32), CLASSES)
    places = gather_places([(xyz, label, semantic), (xyz, label, nobody)], votes)
    again = spread_to(there, its, votes, places, ALL)
    assert again.classes.tolist() == found.classes.tolist(), "a sweep that nobody labelled tells nothing"
