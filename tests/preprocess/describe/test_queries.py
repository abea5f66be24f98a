import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscc_lidar.data_schemas.arrays import FREE_FAR, FREE_NEAR, OCCUPIED
from iscc_lidar.preprocess.describe.queries import (
    ProbedGroups,
    QuerySamplingConfig,
    WindowRays,
    sample_queries,
    sort_rays,
)


def rays_of(seed: int, groups: int = 3, rays: int = 50) -> WindowRays:
    rng = np.random.default_rng(seed)
    end = rng.uniform(-20, 20, (rays, 3)).astype(np.float32)
    origin = rng.uniform(-1, 1, (rays, 3)).astype(np.float32)
    group = rng.integers(-1, groups, rays).astype(np.int32)
    return sort_rays(end, origin, rng.integers(0, 5, rays).astype(np.int32), group)


def boxes(rays: WindowRays, margin: float = 1.0) -> ProbedGroups:
    spans = [rays.end[a:b] for a, b in zip(rays.start, rays.start[1:], strict=False)]
    low = np.array([s.min(axis=0) for s in spans], np.float64).reshape(-1, 3) - margin
    high = np.array([s.max(axis=0) for s in spans], np.float64).reshape(-1, 3) + margin
    return ProbedGroups(rays.group, np.full(len(rays.group), 30, np.int32), low, high)


@given(st.integers(0, 10_000))
def test_queries_lie_on_rays_of_their_group_where_their_kind_says(seed: int) -> None:
    config = QuerySamplingConfig()
    rays = rays_of(seed)
    groups = boxes(rays)
    queries = sample_queries(groups, rays, config, np.random.default_rng(seed))
    assert len(queries.kind) == 15 * len(rays.group)
    for xyz, kind, group in zip(queries.xyz, queries.kind, queries.group, strict=True):
        row = int(np.searchsorted(rays.group, group))
        own = slice(rays.start[row], rays.start[row + 1])
        origin, end = rays.origin[own], rays.end[own]
        length = np.linalg.norm(end - origin, axis=1)
        unit = (end - origin) / length[:, None]
        along = ((xyz - origin) * unit).sum(axis=1)
        ray = np.argmin(np.linalg.norm(origin + along[:, None] * unit - xyz, axis=1))
        np.testing.assert_allclose(origin[ray] + along[ray] * unit[ray], xyz, atol=1e-3)
        behind = along[ray] - length[ray]
        if kind == OCCUPIED:
            assert -1e-3 <= behind <= config.delta_m + 1e-3
        if kind == FREE_NEAR:
            assert -config.delta_m - 1e-3 <= behind <= 1e-3
        if kind == FREE_FAR:
            assert along[ray] >= -1e-3
            assert behind <= 1e-3
            assert (xyz >= groups.box_min[row] - 1e-3).all()
            assert (xyz <= groups.box_max[row] + 1e-3).all()


def test_thirds_of_each_kind_and_a_limit_for_each_group() -> None:
    rays = rays_of(1)
    groups = ProbedGroups(rays.group, np.array([10, 100, 9000], np.int32), *2 * (np.zeros((3, 3)),))
    queries = sample_queries(
        groups, rays, QuerySamplingConfig(per_point=0.6, per_group_max=600), np.random.default_rng(0)
    )
    assert [(queries.group == g).sum() for g in rays.group] == [6, 60, 600]
    assert [(queries.kind == k).sum() for k in (OCCUPIED, FREE_NEAR, FREE_FAR)] == [222, 222, 222]


def test_no_groups_no_queries() -> None:
    rays = sort_rays(np.zeros((3, 3), np.float32), np.zeros((3, 3), np.float32), *2 * (np.full(3, -1, np.int32),))
    none = ProbedGroups(np.empty(0, np.int32), np.empty(0, np.int32), np.empty((0, 3)), np.empty((0, 3)))
    assert len(sample_queries(none, rays, QuerySamplingConfig(), np.random.default_rng(0)).kind) == 0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_ray_along_an_axis_stays_inside_its_box(axis: int) -> None:
    end = np.zeros((1, 3), np.float32)
    end[0, axis] = 10
    rays = sort_rays(end, np.zeros((1, 3), np.float32), *2 * (np.zeros(1, np.int32),))
    group = ProbedGroups(rays.group, np.array([300], np.int32), end - 1.0, end + 1.0)
    queries = sample_queries(group, rays, QuerySamplingConfig(per_point=1), np.random.default_rng(0))
    far = queries.xyz[queries.kind == FREE_FAR][:, axis]
    assert far.min() >= 9
    assert far.min() < 9.1
    assert far.max() > 9.9
