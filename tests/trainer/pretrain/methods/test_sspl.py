from __future__ import annotations

import math
from collections import Counter
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
from iscc_lidar.trainer.pretrain.methods.sspl import METHOD, shared_volumes
from iscc_lidar.trainer.pretrain.samples.batch import collate
from iscc_lidar.trainer.pretrain.samples.regions import Pair
from iscc_lidar.trainer.pretrain.samples.sample import PairConfig, draw_view
from iscc_lidar.trainer.run.state import new_state

ConfigOf = Callable[..., PretrainConfig]


def pair_of(cache: Cache, config: AugmentConfig) -> Pair:
    rng = np.random.default_rng(0)
    sweep = cache.sweep("00", 2)
    view1, view2 = (draw_view(sweep, PairConfig(), config, rng) for _ in range(2))
    return Pair(view1, view2, *(voxelize(view.xyz, view.intensity, 0.5) for view in (view1, view2)), np.eye(4))


@pytest.mark.parametrize("edge_m", [1.0, 2.5])
def test_volumes_are_the_cubes_that_loops_find(edge_m: float, cache: Cache, tiny_run_of: ConfigOf):
    """However the views are turned and scaled: without jitter a point lies in one cube in both of them."""
    pair = pair_of(cache, AugmentConfig(jitter_m=0.0))
    config = tiny_run_of("sspl", f"volumes.edge_m={edge_m}", "contrast.matches=100000")
    found = shared_volumes(config, pair, np.random.default_rng(5))
    corner = np.random.default_rng(5).random(3) * edge_m
    sweep = cache.sweep("00", 2)
    xyz = sweep.xyz[(sweep.label != -3) & (np.linalg.norm(sweep.xyz, axis=1) <= 80)]
    cubes = []
    for view in (pair.view1, pair.view2):
        cubes.append([tuple(math.floor((float(x) + c) / edge_m) for x, c in zip(xyz[i], corner, strict=True))
                      for i in view.source])  # fmt: skip
    large = [{cube for cube, count in Counter(of_view).items() if count > 10} for of_view in cubes]
    name_of: dict[int, tuple[int, ...]] = {}
    wrong = 0
    for label, of_view in zip((found.label1, found.label2), cubes, strict=True):
        for region, cube in zip(label.tolist(), of_view, strict=True):
            wrong += name_of.setdefault(region, cube) != cube
    assert wrong <= 3  # a point on the face of a cube may fall to either side by rounding
    assert {name_of[region] for region in found.ids.tolist()} == large[0] & large[1]
    assert len(found.ids) > 10


def test_at_most_so_many_volumes_are_drawn(cache: Cache, tiny_run_of: ConfigOf):
    pair = pair_of(cache, AugmentConfig())
    few, all_of_them = (
        shared_volumes(tiny_run_of("sspl", f"contrast.matches={most}"), pair, np.random.default_rng(5)).ids.tolist()
        for most in (5, 1000)
    )
    assert len(few) == 5
    assert few == sorted(few)
    assert set(few) < set(all_of_them)


def test_the_loss_pools_each_volume_as_loops_do(cache: Cache, tiny_run_of: ConfigOf):
    config = tiny_run_of("sspl")
    dataset = PairDataset(cache, config)
    batch = collate([dataset[SampleKey(0, place)] for place in (2, 8)])
    state = new_state(PretrainLearner([cache], config), ON_CPU)
    state.network.eval()
    result = METHOD.losses(state.network, state.others["teacher"], state.others["memory"], batch, config)
    count, rows = len(batch.scene), []
    with torch.no_grad():
        for view in (batch.view1, batch.view2):
            voxels, means = state.network.voxel_features(view), []
            for region in range(count):
                entries = [p for p in range(len(view.member_group)) if int(view.member_group[p]) == region]
                points = sum(float(view.member_points[p]) for p in entries)
                means.append(sum(view.member_points[p] * voxels[view.member_voxel[p]] for p in entries) / points)
            rows.append(state.network.head(torch.stack(means)))
    f1, f2 = rows
    total = 0.0
    for k in range(count):
        scale = sum(math.exp(float(f1[k] @ f2[n]) / 0.1) for n in range(count))
        total -= math.log(math.exp(float(f1[k] @ f2[k]) / 0.1) / scale) / count
    assert float(result.terms["loss_contrast"].mean.detach()) == pytest.approx(total, rel=1e-4)
    assert float(result.figures["cosine_same"]) == pytest.approx(float((f1 * f2).sum(1).mean()), abs=1e-5)
