from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.augment import AugmentConfig
from iscc_lidar.trainer.data.pairs import SampleKey
from iscc_lidar.trainer.data.voxelize import voxelize
from iscc_lidar.trainer.hardware.device import ON_CPU
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.dataset import PairDataset
from iscc_lidar.trainer.pretrain.learner import PretrainLearner
from iscc_lidar.trainer.pretrain.methods.pointcontrast import METHOD, matched_points
from iscc_lidar.trainer.pretrain.samples.batch import collate
from iscc_lidar.trainer.pretrain.samples.regions import Pair
from iscc_lidar.trainer.pretrain.samples.sample import PairConfig, draw_view
from iscc_lidar.trainer.run.state import new_state

ConfigOf = Callable[..., PretrainConfig]


def pair_of(cache: Cache, voxel_size: float, config: AugmentConfig) -> Pair:
    rng = np.random.default_rng(0)
    sweep = cache.sweep("00", 2)
    view1, view2 = (draw_view(sweep, PairConfig(), config, rng) for _ in range(2))
    return Pair(view1, view2, *(voxelize(view.xyz, view.intensity, voxel_size) for view in (view1, view2)), np.eye(4))


def test_a_match_is_the_same_point_in_both_views(cache: Cache, tiny_run_of: ConfigOf):
    still = AugmentConfig(rotate_deg=0.0, flip=False, scale=0.0, jitter_m=0.0, drop=0.5)
    pair = pair_of(cache, 0.5, still)
    assert len(pair.view1.xyz) != len(pair.view2.xyz)
    found = matched_points(tiny_run_of("pointcontrast"), pair, np.random.default_rng(1))
    assert found.ids.tolist() == list(range(200))
    for region in found.ids:
        (one,), (other,) = np.flatnonzero(found.label1 == region), np.flatnonzero(found.label2 == region)
        np.testing.assert_array_equal(pair.view1.xyz[one], pair.view2.xyz[other])
        assert pair.view1.source[one] == pair.view2.source[other]


def test_no_two_matches_share_a_voxel_and_none_is_made_up(cache: Cache, tiny_run_of: ConfigOf):
    pair = pair_of(cache, 2.0, AugmentConfig())
    found = matched_points(tiny_run_of("pointcontrast", "contrast.matches=5000"), pair, np.random.default_rng(1))
    for label, voxels in ((found.label1, pair.voxels1), (found.label2, pair.voxels2)):
        assert sorted(label[label >= 0].tolist()) == found.ids.tolist()
        taken = voxels.of_point[label >= 0]
        assert len(set(taken.tolist())) == len(taken) == len(found.ids)
    both = set(pair.view1.source.tolist()) & set(pair.view2.source.tolist())
    assert 50 < len(found.ids) < len(both)
    assert set(pair.view1.source[found.label1 >= 0].tolist()) <= both


@pytest.mark.parametrize("negatives", ["batch", "scene"])
def test_the_loss_agrees_with_loops_and_trains_through_both_views(negatives, cache: Cache, tiny_run_of: ConfigOf):
    config = tiny_run_of("pointcontrast", "contrast.matches=12", f"contrast.negatives={negatives}")
    dataset = PairDataset(cache, config)
    batch = collate([dataset[SampleKey(0, place)] for place in (2, 8)])
    state = new_state(PretrainLearner([cache], config), ON_CPU)
    state.network.eval()
    result = METHOD.losses(state.network, state.others["teacher"], state.others["memory"], batch, config)
    with torch.no_grad():
        rows = []
        for view in (batch.view1, batch.view2):
            voxels = state.network.voxel_features(view)
            of = {int(g): int(v) for g, v in zip(view.member_group, view.member_voxel, strict=True)}
            rows.append(torch.stack([state.network.head(voxels[of[k]][None])[0] for k in range(24)]))
    f1, f2 = rows
    total = guessing = 0.0
    for k in range(24):
        rivals = [n for n in range(24) if negatives == "batch" or batch.scene[n] == batch.scene[k]]
        scale = sum(math.exp(float(f1[k] @ f2[n]) / 0.07) for n in rivals)
        total -= math.log(math.exp(float(f1[k] @ f2[k]) / 0.07) / scale) / 24
        guessing += math.log(len(rivals)) / 24
    assert float(result.terms["loss_contrast"].mean.detach()) == pytest.approx(total, rel=1e-4)
    assert float(result.figures["guessing"]) == pytest.approx(guessing)
    assert result.remembered == ()
    seen: list[int] = []
    state.network.head.layers[0].register_full_backward_hook(lambda *_: seen.append(1))
    again = METHOD.losses(state.network, state.others["teacher"], state.others["memory"], batch, config)
    again.terms["loss_contrast"].mean.backward()
    assert len(seen) == 2
    assert all(p.grad is None for p in state.others["teacher"].parameters())
