from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.pairs import SampleKey
from iscc_lidar.trainer.hardware.device import ON_CPU
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.dataset import PairDataset
from iscc_lidar.trainer.pretrain.learner import PretrainLearner
from iscc_lidar.trainer.pretrain.losses.queue import Queue
from iscc_lidar.trainer.pretrain.methods.depthcontrast import METHOD
from iscc_lidar.trainer.pretrain.samples.batch import collate
from iscc_lidar.trainer.run.state import new_state


def test_a_scene_is_the_mean_over_its_points_told_from_the_queue(
    cache: Cache, tiny_run_of: Callable[..., PretrainConfig]
):
    config = tiny_run_of("depthcontrast")
    dataset = PairDataset(cache, config)
    samples = [dataset[SampleKey(0, place)] for place in (2, 8, 5)]
    assert [len(sample.ground) for sample in samples] == [1, 1, 1]
    batch = collate(samples)
    state = new_state(PretrainLearner([cache], config), ON_CPU)
    state.network.eval()
    state.others["teacher"].eval()
    queue = Queue(64, 8)
    queue.refresh(torch.nn.functional.normalize(torch.randn(20, 8, generator=torch.Generator().manual_seed(0)), dim=1))
    result = METHOD.losses(state.network, state.others["teacher"], queue, batch, config)
    features = []
    with torch.no_grad():
        for network, view, voxels in (
            (state.network, batch.view1, [s.voxels1 for s in samples]),
            (state.others["teacher"], batch.view2, [s.voxels2 for s in samples]),
        ):
            h = network.voxel_features(view)
            means = []
            for scene in range(3):
                of_scene = h[view.coords[:, 0] == scene]
                means.append(sum(of_scene[row] for row in voxels[scene].of_point) / len(voxels[scene].of_point))
            features.append(network.head(torch.stack(means)))
    f1, f2 = features
    total = 0.0
    for k in range(3):
        positive = math.exp(float(f1[k] @ f2[k]) / 0.1)
        total -= math.log(positive / (positive + sum(math.exp(float(f1[k] @ r) / 0.1) for r in queue.negatives()))) / 3
    assert float(result.terms["loss_contrast"].mean.detach()) == pytest.approx(total, rel=1e-4)
    torch.testing.assert_close(result.remembered[0], f2, rtol=1e-4, atol=1e-5)
