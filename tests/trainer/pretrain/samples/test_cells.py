import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from iscc_lidar.trainer.pretrain.samples.cells import number_cells


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 30),
    st.integers(0, 30),
    st.integers(1, 3),
    st.sampled_from([0.01, 0.25, 1, 3]),
)
def test_points_have_one_number_if_they_lie_in_one_cell(seed: int, n1: int, n2: int, axes: int, edge_m: float):
    rng = np.random.default_rng(seed)
    first, second = (rng.uniform(-4, 4, (n, axes)).astype(np.float32) for n in (n1, n2))
    corner = rng.random(axes) * edge_m
    numbers = np.concatenate(number_cells(first, second, corner, edge_m)).tolist()
    cells = [
        tuple(math.floor((float(x) + c) / edge_m) for x, c in zip(p, corner, strict=True)) for p in [*first, *second]
    ]
    assert len(numbers) == n1 + n2
    assert len(set(numbers)) == len(set(cells)) == len(set(zip(numbers, cells, strict=True)))
    assert set(numbers) == set(range(len(set(cells))))
