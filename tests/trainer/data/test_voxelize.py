import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from iscc_lidar.trainer.data.voxelize import (
    INPUT_CHANNELS,
    POSITION_SCALE,
    find_voxels,
    group_members,
    shared_groups,
    voxelize,
)


def slow_voxelize(xyz, intensity, size):
    cells: dict[tuple[int, ...], list[int]] = {}
    for n, point in enumerate(xyz):
        cells.setdefault(tuple(np.floor(point / np.float32(size)).astype(int)), []).append(n)
    low = np.min(list(cells), axis=0)
    return {tuple(np.array(c) - low): rows for c, rows in cells.items()}


@given(seed=st.integers(0, 1000), count=st.integers(1, 80), size=st.sampled_from([0.1, 0.5, 3.0]))
def test_agrees_with_a_slow_twin(seed, count, size):
    rng = np.random.default_rng(seed)
    xyz = rng.uniform(-3, 3, (count, 3)).astype(np.float32)
    intensity = rng.random(count, dtype=np.float32)
    voxels, slow = voxelize(xyz, intensity, size), slow_voxelize(xyz, intensity, size)
    assert voxels.coords.dtype == np.int32
    assert [tuple(c) for c in voxels.coords] == sorted(slow)
    for row, cell in enumerate(sorted(slow)):
        members = slow[cell]
        assert (voxels.of_point[members] == row).all()
        np.testing.assert_allclose(voxels.xyz[row], xyz[members].mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(voxels.feats[row, :3], xyz[members].mean(axis=0) * POSITION_SCALE, atol=1e-5)
        np.testing.assert_allclose(voxels.feats[row, 3], intensity[members].mean(), atol=1e-5)


def test_a_sweep_without_points_has_no_voxels():
    voxels = voxelize(np.zeros((0, 3), np.float32), np.zeros(0, np.float32), 0.2)
    assert voxels.coords.shape == (0, 3)
    assert voxels.feats.shape == (0, INPUT_CHANNELS)


def test_shared_groups_have_more_than_the_wanted_points_in_both():
    first = np.array([3] * 11 + [5] * 10 + [7] * 30 + [-1] * 50, np.int32)
    second = np.array([3] * 20 + [5] * 40 + [9] * 30 + [-1] * 50, np.int32)
    assert shared_groups(first, second, 10).tolist() == [3]
    assert shared_groups(first, second, 9).tolist() == [3, 5]


def test_members_count_each_groups_points_in_each_voxel():
    rng = np.random.default_rng(0)
    xyz = rng.uniform(0, 4, (300, 3)).astype(np.float32)
    label = rng.integers(-2, 6, 300).astype(np.int32)
    voxels = voxelize(xyz, np.zeros(300, np.float32), 1.0)
    groups = np.array([1, 2, 5], np.int32)
    members = group_members(label, groups, voxels)
    counted = {(int(g), int(v)): int(p) for g, v, p in zip(members.group, members.voxel, members.points, strict=True)}
    expected: dict[tuple[int, int], int] = {}
    for n in range(300):
        if label[n] in (1, 2, 5):
            key = ([1, 2, 5].index(label[n]), int(voxels.of_point[n]))
            expected[key] = expected.get(key, 0) + 1
    assert counted == expected


@given(seed=st.integers(0, 1000), points=st.integers(0, 80))
def test_a_position_is_found_in_the_voxel_that_a_point_there_would_be_in(seed, points):
    rng = np.random.default_rng(seed)
    xyz = rng.uniform(-2, 2, (points, 3)).astype(np.float32)
    voxels = voxelize(xyz, np.zeros(points, np.float32), 0.4)
    np.testing.assert_array_equal(find_voxels(voxels, xyz.T), voxels.of_point)
    elsewhere = rng.uniform(-4, 4, (30, 3)).astype(np.float32)
    cells = {tuple(np.floor(p / np.float32(0.4)).astype(int)): row for p, row in zip(xyz, voxels.of_point, strict=True)}
    expected = [cells.get(tuple(np.floor(p / np.float32(0.4)).astype(int)), -1) for p in elsewhere]
    np.testing.assert_array_equal(find_voxels(voxels, elsewhere.T), expected)
