import hdbscan
import numpy as np
import pytest
from hdbscan._hdbscan_tree import compute_stability

from iscc_lidar.preprocess.segment.density_tree import (
    ClusterTree,
    SpanningTree,
    cluster_tree,
    join,
    packaged_spanning_tree,
    select_clusters,
)
from iscc_lidar.preprocess.segment.native import library

METHODS: list[SpanningTree] = ["c", "hdbscan"]


def blobs(seed: int, n: int = 400) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-10, 10, size=(7, 3))
    spread = rng.uniform(0.2, 1.5, size=7)
    which = rng.integers(0, 7, size=n)
    return np.concatenate(
        [centres[which] + rng.normal(size=(n, 3)) * spread[which, None], rng.uniform(-12, 12, size=(n // 8, 3))]
    )


def chosen(tree: ClusterTree) -> np.ndarray:
    return select_clusters(tree, np.ones(len(tree.parent), dtype=bool))[tree.owner]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("min_cluster_size", "min_samples"), [(12, 6), (15, 8), (20, 10)])
def test_equals_hdbscan(seed: int, min_cluster_size: int, min_samples: int, method: SpanningTree) -> None:
    xyz = blobs(seed)
    tree = cluster_tree(xyz, min_cluster_size, min_samples, method)
    ours = chosen(tree)
    fit = hdbscan.HDBSCAN(
        min_cluster_size=min_cluster_size, min_samples=min_samples, algorithm="prims_kdtree", approx_min_span_tree=False
    ).fit(xyz)
    theirs = compute_stability(fit.condensed_tree_._raw_tree)
    # Edges of equal length may be taken in another order, which hands single points to another cluster.
    pairs, count = np.unique(np.stack([ours, fit.labels_]), axis=1, return_counts=True)
    strays = len(xyz) - sum(count[pairs[1] == label].max() for label in np.unique(fit.labels_))
    assert fit.labels_.max() >= 2
    assert len(np.unique(ours)) == len(np.unique(fit.labels_))
    assert strays <= 4
    assert len(theirs) == len(tree.stability)
    np.testing.assert_allclose(np.sort(tree.stability), np.sort(list(theirs.values())), rtol=0.02, atol=0.02)


def test_joining_equals_its_twin() -> None:
    first, second, _ = packaged_spanning_tree(blobs(0, 3000), 9)
    for ours, twin in zip(library.join(first, second), join(first, second), strict=True):
        np.testing.assert_array_equal(ours, twin)


@pytest.mark.parametrize("method", METHODS)
def test_a_forbidden_cluster_gives_way_to_its_parts(method: SpanningTree) -> None:
    rng = np.random.default_rng(0)
    ahead = np.array([1.0, 0.0, 0.0])
    pair = np.concatenate([rng.uniform(size=(60, 3)), rng.uniform(size=(60, 3)) + 1.3 * ahead])
    xyz = np.concatenate([pair, pair + 30 * ahead])
    tree = cluster_tree(xyz, 20, 5, method)
    whole = np.flatnonzero(tree.parent == 0)
    assert len(whole) == 2
    allowed = np.ones(len(tree.parent), dtype=bool)
    allowed[whole[0]] = False
    within = select_clusters(tree, allowed)
    assert within[whole[0]] == -1
    parts = np.flatnonzero(tree.parent == whole[0])
    assert (within[parts] == parts).all()
    forbidden_all = select_clusters(tree, np.zeros(len(tree.parent), dtype=bool))
    assert (forbidden_all == -1).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [0, 1, 2, 10])
def test_too_few_points_have_no_clusters(n: int, method: SpanningTree) -> None:
    tree = cluster_tree(np.zeros((n, 3)), 20, 10, method)
    assert len(tree.parent) == 0
    assert (tree.owner == -1).all()


@pytest.mark.parametrize("method", METHODS)
def test_identical_points_do_not_break_it(method: SpanningTree) -> None:
    assert len(chosen(cluster_tree(np.zeros((50, 3)), 20, 10, method))) == 50
