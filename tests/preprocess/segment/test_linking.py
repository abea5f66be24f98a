import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from iscc_lidar.preprocess.segment.linking import LinkingConfig, assign_sequence_ids, link_windows

ids = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.int32, n, elements=st.integers(-1, 5)), hnp.arrays(np.int32, n, elements=st.integers(-1, 5))
    )
)


def slow_links(a: np.ndarray, b: np.ndarray, min_iou: float) -> list[tuple[int, int]]:
    found = []
    for i in set(a.tolist()) - {-1}:
        for j in set(b.tolist()) - {-1}:
            union = ((a == i) | (b == j)).sum()
            found.append((((a == i) & (b == j)).sum() / union, i, j))
    kept: list[tuple[int, int]] = []
    for iou, i, j in sorted(found, key=lambda f: (-f[0], f[1], f[2])):
        if iou > min_iou and all(i != k and j != m for k, m in kept):
            kept.append((i, j))
    return sorted(kept)


@settings(max_examples=150, deadline=None)
@given(ids, st.sampled_from([0.0, 0.25, 0.6]))
def test_links_equal_the_slow_twin(pair: tuple[np.ndarray, np.ndarray], min_iou: float) -> None:
    links = link_windows(*pair, LinkingConfig(min_iou=min_iou))
    assert links.dtype == np.int32
    assert [tuple(row) for row in links.tolist()] == slow_links(*pair, min_iou)


def test_no_shared_points_no_links() -> None:
    empty = np.zeros(0, dtype=np.int32)
    assert link_windows(empty, empty, LinkingConfig()).shape == (0, 2)
    noise = np.full(4, -1, dtype=np.int32)
    assert link_windows(noise, np.zeros(4, dtype=np.int32), LinkingConfig()).shape == (0, 2)


def test_ids_travel_along_links_and_new_groups_get_new_ones() -> None:
    links = [np.array([[0, 1], [2, 0]], dtype=np.int32), np.array([[1, 0]], dtype=np.int32)]
    ids = assign_sequence_ids([3, 3, 2], links)
    assert [i.tolist() for i in ids] == [[0, 1, 2], [2, 0, 3], [0, 4]]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 6), max_size=6), st.integers(0, 10**6))
def test_sequence_ids_are_dense_and_unique_within_a_window(counts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    links = []
    for a, b in itertools.pairwise(counts):
        n = int(rng.integers(0, min(a, b) + 1))
        links.append(np.stack([rng.permutation(a)[:n], rng.permutation(b)[:n]], axis=1).astype(np.int32))
    out = assign_sequence_ids(counts, links)
    assert [len(o) for o in out] == counts
    for window in out:
        assert len(set(window.tolist())) == len(window)
    everything = sorted(set(np.concatenate([*out, np.zeros(0, np.int32)]).tolist()))
    assert everything == list(range(len(everything)))


def test_a_missing_link_table_is_refused() -> None:
    with pytest.raises(ValueError, match="link tables"):
        assign_sequence_ids([1, 1], [])
