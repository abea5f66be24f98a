import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from benchmarks.preprocess.object_metrics import group_widths, object_scores, width_shares

points = st.integers(1, 80).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.int32, n, elements=st.integers(-1, 4)),
        hnp.arrays(np.int32, n, elements=st.integers(0, 4)),
        hnp.arrays(np.int64, n, elements=st.integers(0, 3)),
    )
)


def most_common(ids: np.ndarray) -> int:
    values, count = np.unique(ids, return_counts=True)
    return int(values[count == count.max()].min())


@settings(max_examples=200, deadline=None)
@given(points, st.integers(1, 5))
def test_scores_equal_the_slow_twin(arrays: tuple[np.ndarray, np.ndarray, np.ndarray], min_points: int) -> None:
    group, truth, sweep = arrays
    scores = object_scores(group, truth, sweep, min_points=min_points)
    expected = [i for i in sorted(set(truth.tolist()) - {0}) if (truth == i).sum() >= min_points]
    assert scores.object_id.tolist() == expected
    for row, i in enumerate(expected):
        mine = truth == i
        ious = [((group == g) & mine).sum() / ((group == g) | mine).sum() for g in set(group.tolist()) - {-1}]
        np.testing.assert_allclose(scores.best_iou[row], max(ious, default=0.0))
        grouped = group[mine & (group >= 0)]
        main = most_common(grouped) if len(grouped) else -1
        assert scores.main_group[row] == main
        by_sweep = [most_common(group[mine & (sweep == k)]) for k in sorted(set(sweep[mine].tolist()))]
        assert scores.link[row] == np.mean([g == main and g >= 0 for g in by_sweep])
        seen = [g for g in by_sweep if g >= 0]
        assert scores.switches[row] == sum(a != b for a, b in itertools.pairwise(seen))


def test_a_perfect_grouping_scores_one_and_no_grouping_zero() -> None:
    truth = np.repeat(np.arange(1, 4), 60).astype(np.int32)
    sweep = np.tile(np.arange(6), 30)
    perfect = object_scores(truth - 1, truth, sweep)
    assert perfect.best_iou.tolist() == perfect.link.tolist() == [1, 1, 1]
    nothing = object_scores(np.full(180, -1, dtype=np.int32), truth, sweep)
    assert nothing.best_iou.tolist() == nothing.link.tolist() == [0, 0, 0]
    assert len(object_scores(truth, np.zeros_like(truth), sweep).object_id) == 0


def test_widths() -> None:
    xyz = np.array([[0, 0, 0], [3, 1, 50], [0, 0, 0], [1, 25, 0], [9, 9, 9]], dtype=np.float64)
    group = np.array([0, 0, 2, 2, -1], dtype=np.int32)
    assert group_widths(xyz, group).tolist() == [3, 0, 25]
    assert width_shares(xyz, group) == (0.4, 0.4)
    assert width_shares(xyz[:0], group[:0]) == (0.0, 0.0)
