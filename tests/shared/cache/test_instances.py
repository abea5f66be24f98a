"""Numbers of groups: each once, the same in all sweeps of a part, and as few parts as the limit allows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.instances import Instances, largest_groups, number_groups, sequence_groups
from iscc_lidar.shared.cache.reader import Cache

IDS = st.lists(st.integers(0, 300), unique=True, max_size=20).map(sorted)


def groups_of(cache: Cache, sequence: str, index: int) -> set[int]:
    label = cache.label(sequence, index)
    return set(label[label >= 0].tolist())


def counted(cache: Cache, sequence: str) -> dict[int, int]:
    """Points of each group, from the labels."""
    every = np.concatenate([cache.label(sequence, k) for k in range(cache.sequence(sequence).sweeps)])
    ids, counts = np.unique(every[every >= 0], return_counts=True)
    return dict(zip(ids.tolist(), counts.tolist(), strict=True))


@given(IDS, st.data())
def test_points_get_the_number_of_their_group(ids: list[int], data: st.DataObject) -> None:
    numbers = data.draw(st.permutations(range(len(ids))))
    instances = Instances("here", 0, 1, np.array(ids, np.int32), np.array(numbers, np.int32))
    labels = data.draw(st.lists(st.sampled_from([-3, -2, -1, *ids]), max_size=30))
    number_of = dict(zip(ids, numbers, strict=True)) | {-1: 0, -2: 0, -3: 0}
    assert instances.of(np.array(labels, np.int32)).tolist() == [number_of[label] for label in labels]
    assert instances.rows() == sorted((number, group) for group, number in number_of.items() if number > 0)
    unknown = data.draw(st.integers(0, 400).filter(lambda group: group not in ids))
    with pytest.raises(UserError, match=f"here: a point is of group {unknown}, which its tables lack"):
        instances.of(np.array([*labels, unknown], np.int32))


def test_a_sequence_is_counted_as_its_labels_are(tiny_cache: Path) -> None:
    cache = Cache(tiny_cache)
    for sequence in cache.sequence_names:
        found = sequence_groups(cache, sequence)
        assert dict(zip(found.group.tolist(), found.points.tolist(), strict=True)) == counted(cache, sequence)
        np.testing.assert_array_equal(found.group[found.moving], cache.moving_groups(sequence))
    assert found.moving.any()


def test_moving_groups_come_first_and_all_have_numbers(tiny_cache: Path) -> None:
    cache = Cache(tiny_cache)
    found = sequence_groups(cache, "01")
    (plain,) = number_groups(cache, "01", len(found.group))
    assert (plain.start, plain.stop) == (0, 6)
    assert plain.rows() == list(enumerate(found.group.tolist(), start=1))
    (instances,) = number_groups(cache, "01", len(found.group), moving_first=True)
    moving, others = found.group[found.moving].tolist(), found.group[~found.moving].tolist()
    assert instances.rows() == list(enumerate([*moving, *others], start=1))


def test_a_sequence_is_cut_into_as_few_parts_as_the_limit_allows(tiny_cache: Path) -> None:
    cache = Cache(tiny_cache)
    by_sweep = [groups_of(cache, "00", k) for k in range(6)]
    most, every = max(map(len, by_sweep)), set().union(*by_sweep)
    assert most < len(every)
    cut = 0
    for limit in range(most, len(every) + 1):
        parts = number_groups(cache, "00", limit)
        borders = [0, *(end for part in parts for end in (part.start, part.stop)), 6]
        assert borders[::2] == borders[1::2]
        for part in parts:
            there = set().union(*by_sweep[part.start : part.stop])
            assert part.rows() == list(enumerate(sorted(there), start=1))
            assert len(there) <= limit
            assert part.stop == 6 or len(there | by_sweep[part.stop]) > limit
        cut += len(parts) > 1
    assert cut > 0
    with pytest.raises(UserError, match=rf"sweep \d has {most} groups; files of this target have room for {most - 1}"):
        number_groups(cache, "00", most - 1)


@pytest.mark.parametrize("limit", [0, 1, 5, 17, 10**6])
def test_the_largest_groups_are_kept_and_moving_ones_before(tiny_cache: Path, limit: int) -> None:
    cache = Cache(tiny_cache)
    points, moving = counted(cache, "01"), set(cache.moving_groups("01").tolist())
    wanted = sorted(points, key=lambda group: (group not in moving, -points[group], group))[:limit]
    kept = largest_groups(cache, "01", limit)
    assert kept.rows() == list(enumerate(sorted(wanted), start=1))
    label: NDArray[np.int32] = cache.label("01", 3)
    np.testing.assert_array_equal(kept.of(label) > 0, np.isin(label, wanted))
