"""The spanning tree in C against one that looks at all pairs, and against the package hdbscan's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from iscc_lidar.preprocess.segment.density_tree import packaged_spanning_tree
from iscc_lidar.preprocess.segment.native import library
from iscc_lidar.shared.base.errors import UserError

pytestmark = pytest.mark.skipif(not library.available(), reason="there was no C compiler")


def reachability(xyz: np.ndarray, min_samples: int) -> np.ndarray:
    """Mutual reachability distance of all pairs, as its definition has it."""
    distance = np.linalg.norm(xyz[:, None] - xyz[None], axis=2)
    core = np.sort(distance, axis=1)[:, min_samples]
    return np.maximum(np.maximum(distance, core[:, None]), core[None])


def twin_lengths(reach: np.ndarray) -> np.ndarray:
    """Lengths of the edges of a shortest spanning tree by Prim's algorithm, ascending."""
    left = set(range(1, len(reach)))
    near = reach[0].copy()
    lengths = []
    while left:
        nearest = min(left, key=lambda i: near[i])
        left.remove(nearest)
        lengths.append(near[nearest])
        near = np.minimum(near, reach[nearest])
    return np.sort(lengths)


def check(xyz: np.ndarray, min_samples: int) -> None:
    first, second, length = library.spanning_tree(xyz, min_samples)
    reach = reachability(xyz, min_samples)
    np.testing.assert_allclose(length, twin_lengths(reach), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(length, reach[first, second], rtol=1e-12, atol=1e-12)
    assert (np.diff(length) >= 0).all()
    _, size = library.join(first, second)
    assert size[-1] == len(xyz)  # it spans


@pytest.mark.parametrize("n", [2, 3, 15, 16, 17, 32, 33, 257, 600])
@pytest.mark.parametrize("shape", ["ball", "line", "lattice", "twice", "far apart"])
def test_equals_its_twin(n: int, shape: str) -> None:
    rng = np.random.default_rng(n)
    xyz = rng.normal(size=(n, 3))
    if shape == "line":
        xyz[:, 1:] = 0
    elif shape == "lattice":  # hardly anything but equal lengths
        xyz = np.stack(np.meshgrid(*[np.arange(9.0)] * 3), axis=-1).reshape(-1, 3)[rng.permutation(729)[:n]]
    elif shape == "twice":
        xyz[n // 2 :] = xyz[: n - n // 2]
    elif shape == "far apart":
        xyz[::2] += 1e6
    for min_samples in {1, min(9, n - 1), min(40, n - 1)}:
        check(xyz, min_samples)


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(2, 80), st.just(3)), elements=st.floats(-100, 100, width=16)),
    st.integers(1, 12),
)
def test_equals_its_twin_wherever_points_lie(xyz: np.ndarray, min_samples: int) -> None:
    check(xyz, min(min_samples, len(xyz) - 1))


def test_equals_the_packages_on_many_points() -> None:
    rng = np.random.default_rng(0)
    xyz = np.concatenate([rng.normal(size=(15_000, 3)) * (20, 20, 1), rng.normal(size=(5_000, 3)) + 5.0])
    np.testing.assert_allclose(library.spanning_tree(xyz, 9)[2], packaged_spanning_tree(xyz, 9)[2], rtol=1e-12)


def test_a_library_that_is_not_there_is_a_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(library, "_load", lambda: (None, "the C kernels were not compiled"))
    assert not library.available()
    with pytest.raises(
        UserError, match=r"not compiled; or use the package hdbscan: --set clustering\.spanning_tree=hdbscan"
    ):
        library.spanning_tree(np.zeros((5, 3)), 2)
