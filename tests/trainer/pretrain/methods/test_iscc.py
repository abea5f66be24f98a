import pytest
import torch

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.hardware.device import ON_CPU
from iscc_lidar.trainer.pretrain.learner import PretrainLearner
from iscc_lidar.trainer.pretrain.losses.prototypes import PrototypeConfig, Prototypes
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig, agreement, iscc_losses
from iscc_lidar.trainer.pretrain.samples.batch import Batch
from iscc_lidar.trainer.run.learner import BatchResult
from iscc_lidar.trainer.run.state import TrainingState, new_state


def losses_of(state: TrainingState, batch: Batch, config: IsccConfig) -> BatchResult:
    return iscc_losses(state.network, state.others["teacher"], state.others["memory"], batch, config)


def gradients(learner: PretrainLearner, batch: Batch, loss: str) -> dict[str, float]:
    state = new_state(learner, ON_CPU)
    losses_of(state, batch, learner.config).terms[loss].mean.backward()
    return {
        part: sum(
            float(p.grad.abs().sum())
            for n, p in state.network.named_parameters()
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
def test_each_loss_trains_what_it_should(cache: Cache, tiny: IsccConfig, batch: Batch, loss, reached):
    moved = gradients(PretrainLearner(cache, tiny), batch, loss)
    assert {part for part, total in moved.items() if total > 0} == reached


def test_the_step_itself_moves_neither_teacher_nor_prototypes(cache: Cache, tiny: IsccConfig, batch: Batch):
    state = new_state(PretrainLearner(cache, tiny), ON_CPU)
    teacher, prototypes = state.others["teacher"], state.others["memory"]
    before = {n: p.clone() for n, p in teacher.named_parameters()}, prototypes.centres.clone()
    losses_of(state, batch, tiny)
    torch.testing.assert_close(dict(teacher.named_parameters()), before[0])
    torch.testing.assert_close(prototypes.centres, before[1])
    assert all(p.grad is None for p in teacher.parameters())


def test_health_figures_on_features_whose_answer_is_known():
    prototypes = Prototypes(PrototypeConfig(count=4, buffer_size=8), 4, seed=0)
    prototypes.centres.copy_(torch.eye(4))
    figures = agreement(torch.eye(4)[[0, 1, 2, 2]], torch.eye(4)[[0, 1, 3, 2]], torch.arange(4), prototypes)
    assert float(figures["agreement"]) == 0.75
    assert float(figures["cosine_same"]) == 0.75
    assert float(figures["cosine_others"]) == pytest.approx(1 / 12)  # f1 of the third is f2 of the fourth
