"""Votes of groups and labelled points in the world."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from iscc_lidar.data_schemas.labels import GROUND, NOISE
from iscc_lidar.preprocess.spread.evidence import (
    cell_keys,
    count_votes,
    first_of_each,
    gather_places,
    ground_at_groups,
    standing_groups,
)


def labels(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def classes(*values: int) -> np.ndarray:
    return np.array(values, np.uint8)


def test_groups_are_of_the_class_of_most_labelled_points_over_all_labelled_sweeps() -> None:
    labelled = [
        (labels(7, 7, 3, GROUND, NOISE, 3), classes(2, 0, 1, 3, 3, 1)),
        (labels(3, 3, 3, 9), classes(1, 1, 2, 0)),
        (labels(), classes()),
    ]
    votes = count_votes(labelled, labels(3, 9, 11), 4)
    assert votes.group.tolist() == [3, 7, 9]
    assert votes.best.tolist() == [1, 0, 0], "9 was left unlabelled, 7 half of it"
    assert votes.purity.tolist() == [0.8, 0.5, 1.0]
    assert votes.carried.tolist() == [True, False, True]
    assert votes.objects.tolist() == [3, 9, 11], "nothing contradicts what no labelled sweep shows"
    assert votes.find(labels(9, 7, 3, NOISE, 100)).tolist() == [2, 1, 0, -1, -1]
    assert votes.is_carried(votes.find(labels(9, 7, 3, NOISE))).tolist() == [True, False, True, False]
    assert not len(count_votes([(labels(7, 7), classes(0, 0))], labels(7), 4).group), "nobody labelled this sweep"
    none = count_votes([], labels(3), 4)
    assert none.find(labels(3, NOISE)).tolist() == [-1, -1]
    assert not none.is_carried(none.find(labels(3))).any()


def test_a_moving_group_of_two_classes_does_not_carry_one() -> None:
    votes = count_votes([(labels(1, 1, 1, 1), classes(1, 1, 1, 2))], labels(1), 3)
    assert not votes.carried.any()
    assert votes.objects.tolist() == []


def test_places_are_of_what_stands_and_thinned_where_they_agree() -> None:
    votes = count_votes([(labels(1, 1), classes(1, 1))], labels(1), 4)
    xyz = np.array([[5, 5, 5], [0, 0, 0], [0.01, 0, 0], [0.02, 0, 0], [np.nan] * 3, [3, 3, 3]], np.float64)
    places = gather_places([(xyz, labels(1, GROUND, GROUND, GROUND, 2, 2), classes(1, 2, 2, 3, 0, 1))], votes)
    assert sorted(places.ground.classes.tolist()) == [2, 3]
    assert places.solid.classes.tolist() == [1]
    assert places.solid.tree is not None
    assert places.solid.tree.data.tolist() == [[3, 3, 3]]
    everything = gather_places([(xyz, labels(1, GROUND, GROUND, GROUND, 2, 2), classes(1, 2, 2, 3, 0, 1))], None)
    assert everything.ground.tree is None
    assert sorted(everything.solid.classes.tolist()) == [1, 1, 2, 3]


def test_cells_are_those_of_a_grid_far_from_the_origin_too() -> None:
    rng = np.random.default_rng(0)
    xyz = rng.uniform(-40, 40, (3000, 3)) + np.array([450_000.0, 5_400_000.0, 300.0])
    cells = [tuple(cell) for cell in np.floor(xyz / 2.0).astype(int).tolist()]
    keys = cell_keys(xyz, 2.0).tolist()
    assert cell_keys(xyz[:5], 2.0).tolist() == keys[:5]
    assert len(set(keys)) == len(set(cells))
    assert len(set(zip(keys, cells, strict=True))) == len(set(cells))


@given(st.lists(st.integers(-(2**62), 2**62) | st.integers(-3, 3), max_size=40))
def test_values_are_numbered_as_they_are_met(values: list[int]) -> None:
    keys = np.array(values, np.int64)
    first, number = first_of_each(keys)
    assert keys[first].tolist() == list(dict.fromkeys(values))
    assert first.tolist() == [values.index(value) for value in dict.fromkeys(values)]
    assert keys[first][number].tolist() == values


def test_what_is_still_there_when_its_group_is_elsewhere_stands() -> None:
    rng = np.random.default_rng(1)
    shape = rng.uniform(0, 1, (40, 3))
    step = np.array([1.0, 0, 0])
    sign, car, parked = shape, shape + 10 * step, shape + 20 * step  # sign and car are one group while it passes

    def sweep(car_m: float, sign_label: int, parked_label: int = 3) -> tuple[np.ndarray, np.ndarray]:
        parts = (sign, sign_label), (car + car_m * step, 2), (parked, parked_label)
        invalid = np.full((1, 3), np.nan), labels(-3)
        world = np.concatenate([part for part, _ in parts] + [invalid[0]])
        return world, np.concatenate([np.full(len(part), of, np.int32) for part, of in parts] + [invalid[1]])

    seen = sweep(0, 1)
    away = [sweep(-8, NOISE, 5), sweep(-4, 1), sweep(8, 6, GROUND), sweep(12, 6, GROUND)]
    assert standing_groups(seen, away, labels(1, 2, 3)).tolist() == [1], "3 is ground later: nothing stands there"
    assert standing_groups(seen, away[:2], labels(1, 2, 3)).tolist() == [], "seen there once without its group"
    assert standing_groups(seen, away, labels()).tolist() == []


@given(st.integers(0, 2**32 - 1))
def test_ground_next_to_a_group_is_that_in_its_cells_and_around(seed: int) -> None:
    rng = np.random.default_rng(seed)
    world = rng.uniform(0, 2, (60, 3)) + np.array([450_000.0, -5_400_000.0, 300.0])
    label = rng.choice(labels(GROUND, GROUND, 4, 7, NOISE), 60)
    world[rng.random(60) < 0.1] = np.nan
    cell = np.floor(world / 0.25)
    expected = [
        bool(label[k] == GROUND and any((np.abs(cell[k] - cell[j]) <= 1).all() for j in np.flatnonzero(label == 4)))
        for k in range(60)
    ]
    assert ground_at_groups(world, label, labels(1, 4)).tolist() == expected
    assert not ground_at_groups(world, label, labels()).any()
