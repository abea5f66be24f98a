import pytest
import torch

from iscc_lidar.trainer.hardware.device import ON_CPU
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.losses.prototypes import PrototypeConfig, Prototypes
from iscc_lidar.trainer.pretrain.method import StepResult
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig, agreement, iscc_step
from iscc_lidar.trainer.pretrain.samples.batch import Batch
from iscc_lidar.trainer.run.state import TrainingState, new_state


def step_of(state: TrainingState, batch: Batch, config: PretrainConfig) -> StepResult:
    return iscc_step(state.student, state.teacher, state.memory, batch, config)


def gradients(config: PretrainConfig, batch: Batch, loss: str) -> dict[str, float]:
    state = new_state(config, ON_CPU)
    step_of(state, batch, config).losses[loss].mean.backward()
    return {
        part: sum(
            float(p.grad.abs().sum())
            for n, p in state.student.named_parameters()
            if n.startswith(part) and p.grad is not None
        )
        for part in ("encoder", "head", "decoder")
    }


@pytest.mark.parametrize(
    ("loss", "reached"),
    [
        ("loss_global", {"encoder", "head"}),
        ("loss_local", {"encoder", "head"}),
        ("loss_occupancy", {"encoder", "decoder"}),
    ],
)
def test_each_loss_trains_what_it_should(tiny: IsccConfig, batch: Batch, loss, reached):
    moved = gradients(tiny, batch, loss)
    assert {part for part, total in moved.items() if total > 0} == reached


def test_the_step_itself_moves_neither_teacher_nor_prototypes(tiny: IsccConfig, batch: Batch):
    state = new_state(tiny, ON_CPU)
    before = {n: p.clone() for n, p in state.teacher.named_parameters()}, state.memory.centres.clone()
    step_of(state, batch, tiny)
    torch.testing.assert_close(dict(state.teacher.named_parameters()), before[0])
    torch.testing.assert_close(state.memory.centres, before[1])
    assert all(p.grad is None for p in state.teacher.parameters())


def test_health_figures_on_features_whose_answer_is_known():
    prototypes = Prototypes(PrototypeConfig(prototypes=4, recent=8), 4, seed=0)
    prototypes.centres.copy_(torch.eye(4))
    figures = agreement(torch.eye(4)[[0, 1, 2, 2]], torch.eye(4)[[0, 1, 3, 2]], torch.arange(4), prototypes)
    assert float(figures["agreement"]) == 0.75
    assert float(figures["cosine_same"]) == 0.75
    assert float(figures["cosine_others"]) == pytest.approx(1 / 12)  # f1 of the third is f2 of the fourth
