import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from benchmarks.preprocess.tube_metrics import associate_sweeps, associate_tubes

points = st.integers(0, 80).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.int32, n, elements=st.integers(-2, 4)),
        hnp.arrays(np.int32, n, elements=st.integers(0, 4)),
        hnp.arrays(np.int64, n, elements=st.integers(0, 3)),
        hnp.arrays(np.bool_, n),
    )
)


def by_hand(group: list[int], truth: list[int]) -> dict[int, tuple[float, float]]:
    """Association and best IoU of each object, by sets of points."""
    found = {}
    for t in sorted(set(truth) - {0}):
        own = {k for k, each in enumerate(truth) if each == t}
        total, best = 0.0, 0.0
        for s in set(group):
            if s >= 0:
                other = {k for k, each in enumerate(group) if each == s}
                iou = len(own & other) / len(own | other)
                total, best = total + len(own & other) * iou, max(best, iou)
        found[t] = (total / len(own), best)
    return found


@settings(max_examples=200, deadline=None)
@given(points, st.integers(0, 4))
def test_scores_equal_those_by_sets(
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], more_than: int
) -> None:
    group, truth, sweep, labelled = arrays
    counted = truth.copy()
    for t in range(1, 5):
        for k in range(4):
            part = (truth == t) & (sweep == k)
            if more_than and part.sum() <= more_than:
                counted[part] = 0
    tubes = associate_tubes(group, truth, sweep, labelled, more_than)
    expected = by_hand(group[labelled].tolist(), counted[labelled].tolist())
    assert tubes.object_id.tolist() == list(expected)
    np.testing.assert_allclose(tubes.association, [a for a, _ in expected.values()])
    np.testing.assert_allclose(tubes.best_iou, [b for _, b in expected.values()])
    parts = associate_sweeps(group, truth, sweep, labelled, more_than)
    one_by_one = []
    for k in range(4):
        here = labelled & (sweep == k)
        one_by_one += [(t, *v) for t, v in by_hand(group[here].tolist(), counted[here].tolist()).items()]
    found = zip(parts.object_id.tolist(), parts.association.tolist(), parts.best_iou.tolist(), strict=True)
    actual, expected_parts = (np.array(sorted(rows)).reshape(-1, 3) for rows in (found, one_by_one))
    np.testing.assert_allclose(actual, expected_parts)


def test_hand_computed_cases() -> None:
    everywhere = np.ones(12, np.bool_)
    sweep = np.repeat([0, 1], 6)
    truth = np.array([1, 1, 1, 1, 2, 2, 1, 1, 1, 1, 2, 2])
    # Object 1 changes its group from one sweep to the next; object 2 keeps its own.
    group = np.array([7, 7, 7, 7, 8, 8, 9, 9, 9, 9, 8, 8])
    tubes = associate_tubes(group, truth, sweep, everywhere)
    np.testing.assert_allclose(tubes.association, [0.5, 1.0])  # twice 4 x 1/2 of 8 points
    np.testing.assert_allclose(tubes.best_iou, [0.5, 1.0])
    np.testing.assert_allclose(associate_sweeps(group, truth, sweep, everywhere).association, 1.0)
    # A group that takes both objects and two points of the street beside them.
    merged = np.zeros(12, np.int64)
    street = np.array([1, 1, 1, 1, 2, 2, 1, 1, 1, 1, 0, 0])
    found = associate_tubes(merged, street, sweep, everywhere)
    np.testing.assert_allclose(found.best_iou, [8 / 12, 2 / 12])
    # If nobody labelled those two, they do not count against it.
    labelled = street > 0
    np.testing.assert_allclose(associate_tubes(merged, street, sweep, labelled).best_iou, [8 / 10, 2 / 10])
    # Without a group an object scores 0; without objects there is nothing to score.
    assert associate_tubes(np.full(12, -1), truth, sweep, everywhere).association.tolist() == [0, 0]
    assert len(associate_tubes(group, np.zeros(12, np.int64), sweep, everywhere).points) == 0
    # Sweeps in which an object has few points are left out of it.
    assert associate_tubes(group, truth, sweep, everywhere, more_than=2).points.tolist() == [8]
