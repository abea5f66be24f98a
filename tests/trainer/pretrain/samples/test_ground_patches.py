from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from iscc_lidar.data_schemas.labels import GROUND
from iscc_lidar.shared.base.geometry import inverse, transform
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.augment import AugmentConfig
from iscc_lidar.trainer.data.voxelize import shared_groups, voxelize
from iscc_lidar.trainer.pretrain.samples.ground_patches import GroundPatchConfig, add_ground_patches
from iscc_lidar.trainer.pretrain.samples.regions import Pair, Regions, without_ground
from iscc_lidar.trainer.pretrain.samples.sample import PairConfig, draw_view

MIN_POINTS = 10


@pytest.fixture(scope="module")
def pair(cache: Cache) -> Pair:
    """Two sweeps from different places, each turned, mirrored and scaled its own way."""
    rng = np.random.default_rng(0)
    sweeps = [cache.sweep("00", index) for index in (1, 4)]
    view1, view2 = (draw_view(sweep, PairConfig(), AugmentConfig(jitter_m=0.0), rng) for sweep in sweeps)
    voxels = [voxelize(view.xyz, view.intensity, 0.5) for view in (view1, view2)]
    return Pair(view1, view2, *voxels, inverse(sweeps[0].world_SE3_sensor) @ sweeps[1].world_SE3_sensor)


@pytest.fixture(scope="module")
def groups(pair: Pair) -> Regions:
    label1, label2 = pair.view1.label, pair.view2.label
    return without_ground(label1, label2, shared_groups(label1, label2, MIN_POINTS))


@pytest.mark.parametrize("max_range_m", [1000.0, 20.0])
def test_cells_are_the_squares_of_the_street_that_loops_find(
    max_range_m: float, cache: Cache, pair: Pair, groups: Regions
):
    edge_m = 6.0  # the ground of this cache is sparse
    config = GroundPatchConfig(10_000, edge_m, max_range_m)
    found = add_ground_patches(groups, pair, MIN_POINTS, config, np.random.default_rng(5))
    corner = np.random.default_rng(5).random(2) * edge_m
    sweeps = [cache.sweep("00", index) for index in (1, 4)]
    squares, labels = [], []
    for sweep, view, label in zip(sweeps, (pair.view1, pair.view2), (found.label1, found.label2), strict=True):
        seen = (sweep.label != -3) & (np.linalg.norm(sweep.xyz, axis=1) <= 80)
        in_first = transform(inverse(sweeps[0].world_SE3_sensor) @ sweep.world_SE3_sensor, sweep.xyz[seen])
        far = [math.hypot(x, y) > max_range_m for x, y, _ in sweep.xyz[seen][view.source].tolist()]
        rows = [i for i, code in enumerate(view.label) if code == GROUND and not far[i]]
        at = in_first[view.source]
        squares.append([tuple(math.floor((at[i, a] + corner[a]) / edge_m) for a in (0, 1)) for i in rows])
        labels.append(label[rows].tolist())
        untouched = (view.label != GROUND) | far
        np.testing.assert_array_equal(label[untouched], view.label[untouched])
    large = [{square for square, count in Counter(of_view).items() if count > MIN_POINTS} for of_view in squares]
    square_of: dict[int, tuple[int, ...]] = {}
    wrong = 0
    for regions, of_view in zip(labels, squares, strict=True):
        for region, square in zip(regions, of_view, strict=True):
            wrong += square_of.setdefault(region, square) != square
    assert wrong <= 3  # a point on the edge of a square may fall to either side by rounding
    assert {square_of[region] for region in found.ids[found.ground].tolist()} == large[0] & large[1]
    assert found.ground.sum() > 10


def test_groups_stay_as_they_are_and_come_first(pair: Pair, groups: Regions):
    found = add_ground_patches(groups, pair, MIN_POINTS, GroundPatchConfig(5, 6.0), np.random.default_rng(5))
    np.testing.assert_array_equal(found.ids[~found.ground], groups.ids)
    assert found.ground.tolist() == [False] * len(groups.ids) + [True] * 5
    assert (np.diff(found.ids) > 0).all()
    for before, after in ((groups.label1, found.label1), (groups.label2, found.label2)):
        assert before.min() < 0  # the groups' own labels were not changed
        assert not np.isin(found.ids[found.ground], before).any()
        assert np.isin(found.ids, after).all()


def test_without_cells_nothing_is_drawn(pair: Pair, groups: Regions):
    rng = np.random.default_rng(5)
    assert add_ground_patches(groups, pair, MIN_POINTS, GroundPatchConfig(0), rng) is groups
    assert rng.random() == np.random.default_rng(5).random()


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"count": -1}, r"count must be at least 0 and at most 1e\+06, not -1"),
        ({"edge_m": 0.0}, r"edge_m must be at least 0\.01 and at most 1000, not 0\.0"),
        ({"max_range_m": 0.0}, r"max_range_m must be at least 0\.01 and at most 1000, not 0\.0"),
    ],
)
def test_cells_that_cannot_be_are_refused(wrong: dict[str, float], expected: str):
    with pytest.raises(ValueError, match=rf"ground_patches\.{expected}"):
        GroundPatchConfig(**wrong)  # type: ignore[arg-type]
