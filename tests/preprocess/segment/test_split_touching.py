"""People and two-wheelers that stand close together become separate groups, cars stay whole."""

from __future__ import annotations

import numpy as np
import pytest

from iscc_lidar.preprocess.segment.native import library
from iscc_lidar.preprocess.segment.split_touching import split_touching


def person(x: float, y: float, rng: np.random.Generator) -> np.ndarray:
    """A body, 0.3 m thick, with arms that reach 0.25 m to each side at the height of the shoulders."""
    angle, z = rng.uniform(0, 2 * np.pi, 1500), rng.uniform(0.05, 1.7, 1500)
    body = np.column_stack([0.15 * np.cos(angle), 0.15 * np.sin(angle), z])
    arms = np.column_stack([rng.normal(0, 0.03, 150), rng.uniform(-0.25, 0.25, 150), rng.uniform(1.2, 1.4, 150)])
    return np.concatenate([body, arms]) + np.array([x, y, 0])


def two_wheeler(x: float, rng: np.random.Generator) -> np.ndarray:
    """A frame and wheels along y, and a handlebar along x that almost reaches the next one."""
    frame = np.column_stack([rng.normal(0, 0.03, 1200), rng.uniform(-0.8, 0.8, 1200), rng.uniform(0.05, 0.95, 1200)])
    bar = np.column_stack([rng.uniform(-0.26, 0.26, 200), rng.normal(0.5, 0.02, 200), rng.normal(1.0, 0.02, 200)])
    return np.concatenate([frame, bar]) + np.array([x, 0, 0])


def car(rng: np.random.Generator) -> np.ndarray:
    """The sides, the bonnet and the roof of a car, its windows almost without returns."""
    n = 9000
    xyz = rng.random((n, 3)) * [4.4, 1.8, 1.45]
    face = rng.integers(0, 5, n)
    xyz[face == 0, 0] = 0
    xyz[face == 1, 0] = 4.4
    xyz[face == 2, 1] = 0
    xyz[face == 3, 1] = 1.8
    xyz[face == 4, 2] = np.where((xyz[face == 4, 0] > 1.2) & (xyz[face == 4, 0] < 3.6), 1.45, 0.9)
    outside = (xyz[:, 2] > 0.95) & ((xyz[:, 0] < 1.2) | (xyz[:, 0] > 3.6))
    window = (xyz[:, 2] > 0.95) & (xyz[:, 2] < 1.4) & (rng.random(n) < 0.9)
    return xyz[~outside & ~window] + [0, 0, 0.15]


def split(*things: np.ndarray, range_m: float = 10.0) -> tuple[np.ndarray, np.ndarray]:
    xyz = np.concatenate(things)
    truth = np.repeat(np.arange(len(things)), [len(thing) for thing in things])
    group = np.zeros(len(xyz), dtype=np.int32)
    return split_touching(xyz, xyz[:, 2], np.full(len(xyz), range_m), group, "hdbscan"), truth


def shares(group: np.ndarray, truth: np.ndarray) -> list[float]:
    """Best IoU of each thing with a group."""
    best = []
    for one in np.unique(truth):
        own = truth == one
        ids, count = np.unique(group[own], return_counts=True)
        best.append(float(max(c / (own.sum() + (group == i).sum() - c) for i, c in zip(ids, count, strict=True))))
    return best


@pytest.mark.parametrize("apart", [0.6, 0.65, 0.8])
def test_people_shoulder_to_shoulder_are_apart(apart: float) -> None:
    rng = np.random.default_rng(0)
    group, truth = split(*(person(0, k * apart, rng) for k in range(4)))
    assert min(shares(group, truth)) > 0.9


@pytest.mark.parametrize("apart", [0.6, 0.7])
def test_two_wheelers_in_a_row_are_apart(apart: float) -> None:
    rng = np.random.default_rng(0)
    group, truth = split(*(two_wheeler(k * apart, rng) for k in range(5)))
    assert min(shares(group, truth)) > 0.85


def test_a_car_a_person_and_what_hangs_in_the_air_stay_whole() -> None:
    rng = np.random.default_rng(0)
    for whole in (car(rng), person(0, 0, rng), two_wheeler(0, rng)):
        assert (split(whole)[0] == 0).all()
    raised = [person(0, k * 0.65, rng) + np.array([0, 0, 0.6]) for k in range(2)]
    assert (split(*raised)[0] == 0).all()


def test_what_is_far_or_high_is_left_alone() -> None:
    rng = np.random.default_rng(0)
    people = [person(0, k * 0.8, rng) for k in range(3)]
    assert (split(*people, range_m=60.0)[0] == 0).all()
    pole = np.column_stack([np.zeros(300), np.zeros(300), np.linspace(0.1, 5, 300)])
    assert (split(*people, pole)[0] == 0).all()


def test_other_groups_keep_their_ids() -> None:
    rng = np.random.default_rng(0)
    people = np.concatenate([person(0, 0, rng), person(0, 0.65, rng)])
    xyz = np.concatenate([car(rng) + np.array([20, 0, 0]), people, people + np.array([0, 30, 0]), rng.random((50, 3))])
    sizes = [len(xyz) - 2 * len(people) - 50, len(people), len(people), 50]
    group = np.repeat(np.array([2, 0, 1, -1], np.int32), sizes)
    found = split_touching(xyz, xyz[:, 2], np.full(len(xyz), 9.0), group, "hdbscan")
    assert (found[group == 2] == 2).all()
    assert (found[group == -1] == -1).all()
    assert sorted(np.unique(found).tolist()) == [-1, 0, 1, 2, 3, 4]


def test_both_spanning_trees_give_the_same() -> None:
    if not library.available():
        pytest.skip(library.why_not_available())
    rng = np.random.default_rng(0)
    xyz = np.concatenate([two_wheeler(k * 0.6, rng) for k in range(4)])
    group = np.zeros(len(xyz), dtype=np.int32)
    c, package = (split_touching(xyz, xyz[:, 2], np.full(len(xyz), 9.0), group, m) for m in ("c", "hdbscan"))
    assert len(np.unique(c)) == len(np.unique(package)) == 4
    assert min(shares(c, package)) > 0.95  # they differ among voxels at equal distances


def test_nothing_in_nothing_out() -> None:
    empty = np.zeros(0)
    assert len(split_touching(np.zeros((0, 3)), empty, empty, np.zeros(0, np.int32), "hdbscan")) == 0
