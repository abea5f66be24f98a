import dataclasses

import pytest
import torch

from iscc_lidar.trainer.checkpoint import new_state
from iscc_lidar.trainer.config import PretrainConfig
from iscc_lidar.trainer.data.batch import Batch
from iscc_lidar.trainer.iscc_step import LossConfig, agreement, iscc_step
from iscc_lidar.trainer.losses.local_contrast import LocalConfig
from iscc_lidar.trainer.losses.prototypes import GlobalConfig, Prototypes
from iscc_lidar.trainer.pretrain import train_step

CPU = torch.device("cpu")


def gradients(config: PretrainConfig, batch: Batch, **weights: float) -> dict[str, float]:
    off = LossConfig(global_weight=0.0, local_weight=0.0, occupancy_weight=0.0)
    state = new_state(config, CPU)
    result = iscc_step(
        state.student, state.teacher, state.prototypes, batch, dataclasses.replace(off, **weights), LocalConfig()
    )
    result.loss.backward()
    return {
        part: sum(
            float(p.grad.abs().sum())
            for n, p in state.student.named_parameters()
            if n.startswith(part) and p.grad is not None
        )
        for part in ("encoder", "head", "decoder")
    }


@pytest.mark.parametrize(
    ("weight", "reached"),
    [
        ("global_weight", {"encoder", "head"}),
        ("local_weight", {"encoder", "head"}),
        ("occupancy_weight", {"encoder", "decoder"}),
    ],
)
def test_each_loss_trains_what_it_should(tiny: PretrainConfig, batch: Batch, weight, reached):
    moved = gradients(tiny, batch, **{weight: 1.0})
    assert {part for part, total in moved.items() if total > 0} == reached


def test_the_loss_is_the_weighted_sum_of_its_parts(tiny: PretrainConfig, batch: Batch):
    state = new_state(tiny, CPU)
    parts = iscc_step(
        state.student, state.teacher, state.prototypes, batch, LossConfig(2.0, 3.0, 5.0), LocalConfig()
    ).parts
    expected = 2 * parts["loss_global"] + 3 * parts["loss_local"] + 5 * parts["loss_occupancy"]
    torch.testing.assert_close(parts["loss"], expected)


def test_the_step_itself_moves_neither_teacher_nor_prototypes(tiny: PretrainConfig, batch: Batch):
    state = new_state(tiny, CPU)
    before = {n: p.clone() for n, p in state.teacher.named_parameters()}, state.prototypes.centres.clone()
    iscc_step(state.student, state.teacher, state.prototypes, batch, tiny.loss, tiny.local)
    torch.testing.assert_close(dict(state.teacher.named_parameters()), before[0])
    torch.testing.assert_close(state.prototypes.centres, before[1])
    assert all(p.grad is None for p in state.teacher.parameters())


def test_training_on_one_batch_brings_every_loss_down(tiny: PretrainConfig, batch: Batch):
    config = dataclasses.replace(tiny, train=dataclasses.replace(tiny.train, steps=60, learning_rate=1e-2))
    state = new_state(config, CPU)
    history = []
    for state.step in range(60):
        history.append({k: float(v) for k, v in train_step(state, batch, config).parts.items()})
    for part in ("loss_local", "loss_occupancy"):
        assert history[-1][part] < 0.85 * history[0][part], part
    assert history[-1]["cosine_same"] - history[-1]["cosine_others"] > 0.2
    assert history[-1]["prototypes_used"] > 3


def test_health_figures_on_features_whose_answer_is_known():
    prototypes = Prototypes(GlobalConfig(prototypes=4, recent=8), 4, seed=0)
    prototypes.centres.copy_(torch.eye(4))
    figures = agreement(torch.eye(4)[[0, 1, 2, 2]], torch.eye(4)[[0, 1, 3, 2]], prototypes)
    assert float(figures["agreement"]) == 0.75
    assert float(figures["cosine_same"]) == 0.75
    assert float(figures["cosine_others"]) == pytest.approx(1 / 12)  # f1 of the third is f2 of the fourth
