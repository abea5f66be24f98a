import dataclasses

import numpy as np
import pytest

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.augment import AugmentConfig, apply_affine
from iscc_lidar.trainer.pretrain.samples.masking import MaskingConfig, draw_masked_balls
from iscc_lidar.trainer.pretrain.samples.sample import PairConfig, draw_view

CONFIG = MaskingConfig(per_sweep=5, min_group_points=20)


@pytest.fixture(scope="module")
def drawn(cache: Cache):
    sweep = cache.sweep("00", 2)
    rng = np.random.default_rng(0)
    view = draw_view(sweep, PairConfig(), AugmentConfig(), rng)
    return sweep, view, draw_masked_balls(view, CONFIG, rng)


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


def test_a_query_is_in_the_crop_of_its_group_whose_ball_holds_it_by_loop(drawn):
    sweep, view, crops = drawn
    xyz = apply_affine(view.view_T_sensor, sweep.queries.xyz)
    expected = []
    for position, group in zip(xyz, sweep.queries.group, strict=True):
        holds = [
            crop
            for crop in range(len(crops.group))
            if crops.group[crop] == group and np.linalg.norm(position - crops.centre[crop]) <= crops.radius[crop]
        ]
        expected.append(holds[0] if holds else -1)
    found = crops.containing(xyz, sweep.queries.group)
    np.testing.assert_array_equal(found, expected)
    assert 20 <= (found >= 0).sum() < len(found)


def test_radius_is_an_upper_bound_and_reached_where_the_group_is_large(drawn):
    _, _, crops = drawn
    assert (crops.radius <= CONFIG.radius_m + 1e-6).all()
    assert (crops.radius == np.float32(CONFIG.radius_m)).any()


def test_without_crops_all_points_stay(cache: Cache):
    sweep = cache.sweep("00", 2)
    rng = np.random.default_rng(0)
    view = draw_view(sweep, PairConfig(), AugmentConfig(), rng)
    crops = draw_masked_balls(view, dataclasses.replace(CONFIG, per_sweep=0), rng)
    assert crops.visible.all()
    assert len(crops.centre) == 0
    assert (crops.containing(sweep.queries.xyz, sweep.queries.group) == -1).all()
