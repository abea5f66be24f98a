"""One optimiser step: what it computes, however it is cut and in whatever precision."""

import dataclasses

import pytest
import torch

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.pairs import SampleKey
from iscc_lidar.trainer.hardware.device import ON_CPU
from iscc_lidar.trainer.pretrain.dataset import PairDataset
from iscc_lidar.trainer.pretrain.learner import PretrainLearner
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig, LossWeights
from iscc_lidar.trainer.pretrain.samples.batch import Batch, collate
from iscc_lidar.trainer.run.state import TrainingState, new_state

from steps import one_step


@pytest.fixture
def learner(cache: Cache, tiny: IsccConfig) -> PretrainLearner:
    return PretrainLearner([cache], tiny)


def weights_after(state: TrainingState) -> dict[str, torch.Tensor]:
    return {**state.network.state_dict(), **state.others["memory"].state_dict()}


def test_training_on_one_batch_brings_every_loss_down(cache: Cache, tiny: IsccConfig, batch: Batch):
    train = dataclasses.replace(tiny.train, steps=150, learning_rate=1e-2)
    learner = PretrainLearner([cache], dataclasses.replace(tiny, train=train))
    state = new_state(learner, ON_CPU)
    history = [{k: float(v) for k, v in one_step(learner, state, [batch]).items()} for _ in range(150)]
    for part in ("loss_local", "loss_occupancy"):
        assert history[-1][part] < 0.85 * history[0][part], part
    assert history[-1]["cosine_same"] - history[-1]["cosine_others"] > 0.2
    assert history[-1]["prototypes_used"] > 3


def test_the_loss_is_the_weighted_sum_of_its_parts(cache: Cache, tiny: IsccConfig, batch: Batch):
    learner = PretrainLearner([cache], dataclasses.replace(tiny, loss=LossWeights(2.0, 3.0, 5.0)))
    parts = one_step(learner, new_state(learner, ON_CPU), [batch])
    expected = 2 * parts["loss_global"] + 3 * parts["loss_local"] + 5 * parts["loss_occupancy"]
    torch.testing.assert_close(parts["loss"], expected)


def test_micro_batches_weigh_by_their_groups_and_queries(tiny: IsccConfig, cache: Cache):
    """Batch norm in evaluation mode and no global loss: then a step cut in two is the same step."""
    dataset = PairDataset(cache, tiny)
    samples = [dataset[SampleKey(0, place)] for place in (0, 7, 9)]
    parts = [collate(samples[:1]), collate(samples[1:])]
    assert len(parts[0].scene) != len(parts[1].scene)
    learner = PretrainLearner([cache], dataclasses.replace(tiny, loss=LossWeights(global_weight=0.0)))
    moved = []
    for batches in ([collate(samples)], parts):
        state = new_state(learner, ON_CPU)
        state.network.eval()
        state.others["teacher"].eval()
        figures = one_step(learner, state, batches)
        moved.append((figures["loss_local"], figures["loss_occupancy"], figures["gradient_norm"]))
    torch.testing.assert_close(*moved, rtol=1e-5, atol=1e-7)


def test_recomputed_activations_change_nothing(learner: PretrainLearner, batch: Batch):
    after = []
    for recompute in (False, True):
        state = new_state(learner, dataclasses.replace(ON_CPU, activation_checkpointing=recompute))
        for _ in range(2):
            one_step(learner, state, [batch])
        after.append(weights_after(state))
    torch.testing.assert_close(after[0], after[1], rtol=0, atol=0)


def test_recomputation_keeps_less(learner: PretrainLearner, batch: Batch):
    def kept(recompute: bool) -> int:
        sizes: list[int] = []

        def note(tensor: torch.Tensor) -> torch.Tensor:
            sizes.append(tensor.nbytes)
            return tensor

        state = new_state(learner, dataclasses.replace(ON_CPU, activation_checkpointing=recompute))
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            state.network(batch)
        return sum(sizes)

    assert kept(True) < 0.6 * kept(False)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_is_close_and_losses_are_float32(learner: PretrainLearner, batch: Batch, half: torch.dtype):
    full, low = (new_state(learner, dataclasses.replace(ON_CPU, half=dtype)) for dtype in (None, half))
    f1, occupied, _ = low.network(batch)
    assert f1.dtype == occupied.dtype == torch.float32
    exact, rounded = (one_step(learner, state, [batch]) for state in (full, low))
    for name in ("loss_global", "loss_local", "loss_occupancy"):
        assert rounded[name].dtype == torch.float32
        torch.testing.assert_close(rounded[name], exact[name], rtol=0.03, atol=0.03)
    assert all(p.dtype == torch.float32 for p in low.network.parameters())


def test_an_overflow_in_fp16_lowers_the_scale_and_skips_the_update(learner: PretrainLearner, batch: Batch):
    state = new_state(learner, dataclasses.replace(ON_CPU, half=torch.float16))
    state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**30)
    before = {name: weight.clone() for name, weight in state.network.named_parameters()}
    figures = one_step(learner, state, [batch])
    assert not torch.isfinite(figures["gradient_norm"])
    assert state.scaler.get_scale() == 2.0**29
    torch.testing.assert_close(dict(state.network.named_parameters()), before, rtol=0, atol=0)
