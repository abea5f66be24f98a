import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscc_lidar.data_schemas.arrays import FREE_FAR, FREE_NEAR, OCCUPIED
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import Queries
from iscc_lidar.trainer.data.augment import AugmentConfig, apply_affine
from iscc_lidar.trainer.data.voxelize import Voxels, voxelize
from iscc_lidar.trainer.pretrain.samples.occupancy_queries import (
    OccupancyConfig,
    QueryTargets,
    draw_query_rows,
    draw_voxels,
    sample_queries,
    to_ray_axes,
)
from iscc_lidar.trainer.pretrain.samples.sample import PairConfig, draw_view

KINDS = (OCCUPIED, FREE_NEAR, FREE_FAR)


def stored(seed: int, count: int) -> Queries:
    rng = np.random.default_rng(seed)
    xyz = rng.uniform(-5, 5, (count, 3)).astype(np.float32)
    kind, group = rng.choice(KINDS, count).astype(np.uint8), np.sort(rng.choice([3, 4, 17, 90], count))
    return Queries(xyz, kind, group.astype(np.int32), np.zeros(count, np.int32))


@given(seed=st.integers(0, 1000), count=st.integers(0, 120), per_group=st.integers(1, 20), near=st.booleans())
def test_of_each_group_as_many_are_drawn_as_counting_says(seed, count, per_group, near):
    queries = stored(seed, count)
    config = OccupancyConfig(per_group=per_group, near=near)
    drawn = draw_query_rows(queries, config, np.random.default_rng(seed))
    assert (np.diff(drawn) > 0).all()
    assert near or (queries.kind[drawn] != FREE_NEAR).all()
    for group in np.unique(queries.group):
        kinds = [k for k, g in zip(queries.kind, queries.group, strict=True) if g == group and (near or k != FREE_NEAR)]
        assert (queries.group[drawn] == group).sum() == min(len(kinds), per_group)


def test_any_query_may_be_drawn():
    queries = stored(0, 60)
    config = OccupancyConfig(per_group=4)
    drawn = {
        row for seed in range(200) for row in draw_query_rows(queries, config, np.random.default_rng(seed)).tolist()
    }
    assert len(drawn) == 60


@given(seed=st.integers(0, 1000), points=st.integers(0, 60), reach=st.floats(0.2, 2.0))
def test_a_voxel_that_answers_is_one_of_those_within_reach(seed, points, reach):
    rng = np.random.default_rng(seed)
    voxels = voxelize(rng.uniform(-3, 3, (points, 3)).astype(np.float32), np.zeros(points, np.float32), 0.5)
    query = rng.uniform(-4, 4, (30, 3)).astype(np.float32)
    for position, row in zip(query, draw_voxels(query, voxels, reach, rng), strict=True):
        near_by = [n for n in range(len(voxels.xyz)) if np.linalg.norm(voxels.xyz[n] - position) <= reach]
        assert row in near_by or row == -1
        assert near_by or row == -1


def test_every_voxel_within_reach_is_drawn_now_and_then_and_seldom_none():
    rng = np.random.default_rng(0)
    voxels = voxelize(rng.uniform(-1, 1, (300, 3)).astype(np.float32) * [1, 1, 0.1], np.zeros(300, np.float32), 0.2)
    row = draw_voxels(np.zeros((5000, 3), np.float32), voxels, 1.0, rng)
    near_by = np.flatnonzero(np.linalg.norm(voxels.xyz, axis=1) <= 1.0)
    assert len(near_by) > 50
    assert set(np.unique(row[row >= 0])) == set(near_by)
    assert (row < 0).mean() < 0.1


def asked_in(cache: Cache, config: OccupancyConfig) -> tuple[QueryTargets, Voxels]:
    rng = np.random.default_rng(0)
    sweep = cache.sweep("00", 2)
    view = draw_view(sweep, PairConfig(), AugmentConfig(jitter_m=0.0), rng)
    voxels = voxelize(view.xyz, view.intensity, 0.5)
    asked = sample_queries(sweep.queries, view.view_T_sensor, voxels, config, rng)
    moved = apply_affine(view.view_T_sensor, sweep.queries.xyz)
    source = np.linalg.norm(moved[None] - asked.xyz[:, None], axis=2).argmin(axis=1)
    np.testing.assert_array_equal(moved[source], asked.xyz)
    np.testing.assert_array_equal(asked.occupied, sweep.queries.kind[source] == OCCUPIED)
    np.testing.assert_array_equal(asked.group, sweep.queries.group[source])
    return asked, voxels


def test_queries_move_with_the_view_keep_their_truth_and_point_to_their_voxel(cache: Cache):
    in_view, voxels = asked_in(cache, OccupancyConfig(offset_frame="view"))
    assert len(in_view.xyz) > 100
    np.testing.assert_allclose(in_view.xyz + in_view.offset, voxels.xyz[in_view.voxel], atol=1e-5)
    assert (np.linalg.norm(in_view.offset, axis=1) <= OccupancyConfig().reach_m + 1e-5).all()
    in_ray, _ = asked_in(cache, OccupancyConfig())
    np.testing.assert_allclose(in_ray.offset, to_ray_axes(in_view.offset, in_view.xyz), atol=1e-5)


def test_ray_axes_point_away_from_the_sensor():
    xyz = np.array([[3.0, 4.0, 1.0], [3.0, 4.0, 1.0], [0.0, -2.0, 0.0], [0.0, -2.0, 0.0]], np.float32)
    offset = np.array([[0.6, 0.8, 0.5], [-0.8, 0.6, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, -1.0]], np.float32)
    expected = [[1.0, 0.0, 0.5], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 1.0, -1.0]]
    np.testing.assert_allclose(to_ray_axes(offset, xyz), expected, atol=1e-6)


def test_no_stored_query_is_nothing_asked(cache: Cache):
    none = stored(0, 0)
    voxels = voxelize(np.zeros((1, 3), np.float32), np.zeros(1, np.float32), 0.5)
    asked = sample_queries(none, np.eye(4), voxels, OccupancyConfig(), np.random.default_rng(0))
    assert asked.xyz.shape == asked.offset.shape == (0, 3)
    assert len(asked.voxel) == len(asked.occupied) == 0


@pytest.mark.parametrize("wrong", [{"per_group": 0}, {"reach_m": 0.0}])
def test_impossible_options_are_refused(wrong):
    with pytest.raises(ValueError, match="occupancy"):
        OccupancyConfig(**wrong)
