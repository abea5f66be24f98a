import dataclasses

import numpy as np
import pytest

from iscc_lidar.data_schemas.arrays import FREE_FAR, FREE_NEAR, OCCUPIED
from iscc_lidar.shared.cache_reader import Cache
from iscc_lidar.trainer.data.augment import AugmentConfig, apply_affine
from iscc_lidar.trainer.data.crops import CropConfig, draw_crops
from iscc_lidar.trainer.data.sample import DataConfig, draw_view

CONFIG = CropConfig(per_sweep=5, queries_per_crop=8, min_group_points=20)


@pytest.fixture(scope="module")
def drawn(cache: Cache):
    sweep = cache.sweep("00", 2)
    rng = np.random.default_rng(0)
    view = draw_view(sweep, DataConfig(), AugmentConfig(), rng)
    return sweep, view, draw_crops(view, sweep.queries, CONFIG, rng)


def test_what_is_hidden_is_in_a_group_and_in_a_ball(drawn):
    _, view, crops = drawn
    hidden = ~crops.visible
    assert 3 <= len(crops.centre) <= CONFIG.per_sweep
    assert hidden.sum() >= 5
    assert (view.label[hidden] >= 0).all()
    distance = np.linalg.norm(view.xyz[hidden][:, None] - crops.centre[None], axis=2)
    assert (distance <= crops.radius + 1e-5).any(axis=1).all()


def test_no_point_of_a_cropped_group_is_left_in_its_ball_and_enough_is_left_outside(drawn):
    _, view, crops = drawn
    cropped = np.unique(view.label[~crops.visible])
    assert len(cropped) == len(crops.centre)
    for group in cropped:
        own = view.xyz[view.label == group]
        seen = view.xyz[(view.label == group) & crops.visible]
        ball = int((np.linalg.norm(own[:, None] - crops.centre, axis=2).min(axis=0) == 0).argmax())
        assert (np.linalg.norm(seen - crops.centre[ball], axis=1) > crops.radius[ball]).all()
        assert len(seen) >= (1 - CONFIG.max_removed_share) * len(own)


def test_queries_lie_in_their_ball_keep_their_truth_and_are_few_enough(drawn):
    sweep, view, crops = drawn
    distance = np.linalg.norm(crops.xyz - crops.centre[crops.crop], axis=1)
    assert (distance <= crops.radius[crops.crop]).all()
    assert np.bincount(crops.crop).max() <= CONFIG.queries_per_crop
    assert (np.diff(crops.crop) >= 0).all()
    moved = apply_affine(view.view_T_sensor, sweep.queries.xyz)
    source = np.linalg.norm(moved[None] - crops.xyz[:, None], axis=2).argmin(axis=1)
    np.testing.assert_array_equal(moved[source], crops.xyz)
    np.testing.assert_array_equal(crops.occupied, sweep.queries.kind[source] == OCCUPIED)
    hidden_groups = np.unique(view.label[~crops.visible])
    assert set(np.unique(sweep.queries.group[source])) == set(hidden_groups)


def test_both_answers_are_equally_common_unless_asked_otherwise(cache: Cache, drawn):
    _, view, crops = drawn
    assert crops.occupied.mean() == 0.5
    sweep = cache.sweep("00", 2)
    natural = draw_crops(view, sweep.queries, dataclasses.replace(CONFIG, balance=False), np.random.default_rng(0))
    assert natural.occupied.mean() != 0.5


@pytest.mark.parametrize("near", [True, False])
def test_free_space_just_in_front_of_a_surface_is_asked_about_only_where_wanted(cache: Cache, drawn, near: bool):
    sweep, view, _ = drawn
    crops = draw_crops(view, sweep.queries, dataclasses.replace(CONFIG, near=near), np.random.default_rng(0))
    moved = apply_affine(view.view_T_sensor, sweep.queries.xyz)
    asked = sweep.queries.kind[np.linalg.norm(moved[None] - crops.xyz[:, None], axis=2).argmin(axis=1)]
    assert set(np.unique(asked)) == ({OCCUPIED, FREE_NEAR, FREE_FAR} if near else {OCCUPIED, FREE_FAR})


def test_radius_is_an_upper_bound_and_reached_where_the_group_is_large(drawn):
    _, _, crops = drawn
    assert (crops.radius <= CONFIG.radius_m + 1e-6).all()
    assert (crops.radius == np.float32(CONFIG.radius_m)).any()


@pytest.mark.parametrize("change", [{"per_sweep": 0}, {"remove": False}])
def test_without_crops_or_removal_all_points_stay(cache: Cache, change):
    sweep = cache.sweep("00", 2)
    rng = np.random.default_rng(0)
    view = draw_view(sweep, DataConfig(), AugmentConfig(), rng)
    crops = draw_crops(view, sweep.queries, dataclasses.replace(CONFIG, **change), rng)
    assert crops.visible.all()
    assert (len(crops.xyz) == 0) == ("per_sweep" in change)
