from dataclasses import replace
from threading import current_thread

import pytest
import torch

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.pairs import SampleKey
from iscc_lidar.trainer.hardware.device import ON_CPU
from iscc_lidar.trainer.pretrain.learner import PretrainLearner
from iscc_lidar.trainer.pretrain.losses.features import begin_teacher_features, teacher_features
from iscc_lidar.trainer.pretrain.losses.prototypes import PrototypeConfig, Prototypes
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig, agreement, iscc_losses
from iscc_lidar.trainer.pretrain.samples.batch import Batch
from iscc_lidar.trainer.pretrain.samples.surroundings import SurroundingsConfig
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
    moved = gradients(PretrainLearner([cache], tiny), batch, loss)
    assert {part for part, total in moved.items() if total > 0} == reached


def test_surroundings_are_a_loss_where_they_have_a_weight(cache: Cache, tiny: IsccConfig, batch: Batch):
    assert len(batch.around) == 0
    assert not any("around" in name for name in new_state(PretrainLearner([cache], tiny), ON_CPU).network.state_dict())
    config = replace(tiny, loss=replace(tiny.loss, surroundings_weight=0.5), surroundings=SurroundingsConfig(voxels=40))
    learner = PretrainLearner([cache], config)
    dataset = learner.dataset
    asked = learner.collate([dataset[SampleKey(0, place)] for place in (0, 7)])
    assert asked.around.shape == (80, config.surroundings.cells)
    assert learner.counts(asked)["surroundings"] == 80
    second = len(dataset[SampleKey(0, 0)].voxels1.coords)
    assert (asked.around_voxel >= second).tolist() == [False] * 40 + [True] * 40
    state = new_state(learner, ON_CPU)
    term = losses_of(state, asked, config).terms["loss_surroundings"]
    assert term.weight == 0.5
    term.mean.backward()
    moved = {n.partition(".")[0] for n, p in state.network.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == {"encoder", "around"}


def test_the_step_itself_moves_neither_teacher_nor_prototypes(cache: Cache, tiny: IsccConfig, batch: Batch):
    state = new_state(PretrainLearner([cache], tiny), ON_CPU)
    teacher, prototypes = state.others["teacher"], state.others["memory"]
    before = {n: p.clone() for n, p in teacher.named_parameters()}, prototypes.centres.clone()
    losses_of(state, batch, tiny)
    torch.testing.assert_close(dict(teacher.named_parameters()), before[0])
    torch.testing.assert_close(prototypes.centres, before[1])
    assert all(p.grad is None for p in teacher.parameters())


def test_the_teacher_computes_the_same_in_a_thread_of_its_own(
    cache: Cache, tiny: IsccConfig, batch: Batch, monkeypatch: pytest.MonkeyPatch
):
    teacher = new_state(PretrainLearner([cache], tiny), ON_CPU).others["teacher"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        names: list[str] = []
        compute = teacher.voxel_features
        monkeypatch.setattr(teacher, "voxel_features", lambda v: (names.append(current_thread().name), compute(v))[1])
        alone, beside = teacher_features(teacher, batch), begin_teacher_features(teacher, batch)()
        assert names[0] == current_thread().name
        assert names[1].startswith("teacher")
        assert torch.equal(alone, beside)
        assert not beside.requires_grad
        monkeypatch.setattr(teacher, "voxel_features", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            begin_teacher_features(teacher, batch)()
    finally:
        torch.set_num_threads(threads)


def test_health_figures_on_features_whose_answer_is_known():
    prototypes = Prototypes(PrototypeConfig(count=4, buffer_size=8), 4, seed=0)
    prototypes.centres.copy_(torch.eye(4))
    figures = agreement(torch.eye(4)[[0, 1, 2, 2]], torch.eye(4)[[0, 1, 3, 2]], torch.arange(4), prototypes)
    assert float(figures["agreement"]) == 0.75
    assert float(figures["cosine_same"]) == 0.75
    assert float(figures["cosine_others"]) == pytest.approx(1 / 12)  # f1 of the third is f2 of the fourth
