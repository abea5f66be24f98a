from __future__ import annotations

from collections.abc import Callable

import torch

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.pairs import SampleKey
from iscc_lidar.trainer.hardware.device import ON_CPU
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.dataset import PairDataset
from iscc_lidar.trainer.pretrain.learner import PretrainLearner
from iscc_lidar.trainer.pretrain.losses.queue import Queue
from iscc_lidar.trainer.pretrain.methods.segcontrast import METHOD
from iscc_lidar.trainer.pretrain.samples.batch import collate
from iscc_lidar.trainer.run.state import new_state


def test_the_step_pools_contrasts_and_remembers_as_loops_do(cache: Cache, tiny_run_of: Callable[..., PretrainConfig]):
    """From the encoder's features on, written out: mean over points, head, similarity to one's own and to the queue."""
    config = tiny_run_of("segcontrast")
    dataset = PairDataset(cache, config)
    batch = collate([dataset[SampleKey(0, place)] for place in (2, 8)])
    state = new_state(PretrainLearner([cache], config), ON_CPU)
    state.network.eval()
    state.others["teacher"].eval()
    with torch.no_grad():
        for weights in state.others["teacher"].parameters():
            weights.mul_(1.1)  # so that it is another network
    queue = Queue(64, 8)
    queue.refresh(torch.nn.functional.normalize(torch.randn(20, 8, generator=torch.Generator().manual_seed(0)), dim=1))
    held = queue.negatives().clone()
    result = METHOD.losses(state.network, state.others["teacher"], queue, batch, config)

    features = []
    for network, view in ((state.network, batch.view1), (state.others["teacher"], batch.view2)):
        with torch.no_grad():
            voxels, rows = network.voxel_features(view), []
            for group in range(len(batch.scene)):
                entries = [p for p in range(len(view.member_group)) if int(view.member_group[p]) == group]
                points = sum(float(view.member_points[p]) for p in entries)
                assert points > config.data.min_group_points
                mean = sum(view.member_points[p] * voxels[view.member_voxel[p]] for p in entries) / points
                row = network.head.layers(mean[None])[0]
                rows.append(row / row.norm())
        features.append(torch.stack(rows))
    f1, f2 = features
    losses, same, others = [], [], []
    for k in range(len(f1)):
        logits = [f1[k] @ f2[k] / 0.1] + [f1[k] @ row / 0.1 for row in held]
        losses.append(-(logits[0] - torch.stack(logits).logsumexp(0)))
        same.append(f1[k] @ f2[k])
        others += [f1[k] @ row for row in held]
    torch.testing.assert_close(result.terms["loss_contrast"].mean.detach(), torch.stack(losses).mean())
    torch.testing.assert_close(result.remembered[0], f2)
    torch.testing.assert_close(result.figures["cosine_same"], torch.stack(same).mean())
    torch.testing.assert_close(result.figures["cosine_others"], torch.stack(others).mean())
    torch.testing.assert_close(queue.negatives(), held)  # the step itself changes nothing


def test_both_views_are_of_one_sweep_and_its_groups(cache: Cache, tiny_run_of: Callable[..., PretrainConfig]):
    sample = PairDataset(cache, tiny_run_of("segcontrast"))[SampleKey(0, 3)]
    assert sample.names[0] == sample.names[1]
    assert len(sample.ground) == 14  # every box of the street
    assert len(sample.queries.occupied) == 0
