import dataclasses

import pytest
import torch

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.pairs import SampleKey
from iscc_lidar.trainer.hardware.device import ON_CPU
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.dataset import PairDataset
from iscc_lidar.trainer.pretrain.losses.weights import LossConfig
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.pretrain.samples.batch import Batch, collate
from iscc_lidar.trainer.run.state import TrainingState, new_state


def changed(config: PretrainConfig, **options) -> PretrainConfig:
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **options))


def weights_after(state: TrainingState) -> dict[str, torch.Tensor]:
    return {**state.student.state_dict(), **state.memory.state_dict()}


def test_training_on_one_batch_brings_every_loss_down(tiny: IsccConfig, batch: Batch):
    config = changed(tiny, steps=150, learning_rate=1e-2)
    state = new_state(config, ON_CPU)
    history = []
    for state.step in range(150):
        history.append({k: float(v) for k, v in train_step(state, state.student, [batch], config).items()})
    for part in ("loss_local", "loss_occupancy"):
        assert history[-1][part] < 0.85 * history[0][part], part
    assert history[-1]["cosine_same"] - history[-1]["cosine_others"] > 0.2
    assert history[-1]["prototypes_used"] > 3


def test_the_loss_is_the_weighted_sum_of_its_parts(tiny: IsccConfig, batch: Batch):
    config = dataclasses.replace(tiny, loss=LossConfig(2.0, 3.0, 5.0))
    state = new_state(config, ON_CPU)
    parts = train_step(state, state.student, [batch], config)
    expected = 2 * parts["loss_global"] + 3 * parts["loss_local"] + 5 * parts["loss_occupancy"]
    torch.testing.assert_close(parts["loss"], expected)


def test_micro_batches_weigh_by_their_groups_and_queries(tiny: IsccConfig, cache: Cache):
    """Batch norm in evaluation mode and no global loss: then a step cut in two is the same step."""
    dataset = PairDataset(cache, tiny)
    samples = [dataset[SampleKey(0, place)] for place in (0, 7, 9)]
    parts = [collate(samples[:1]), collate(samples[1:])]
    assert len(parts[0].scene) != len(parts[1].scene)
    config = dataclasses.replace(tiny, loss=LossConfig(global_weight=0.0))
    moved = []
    for batches in ([collate(samples)], parts):
        state = new_state(config, ON_CPU)
        state.student.eval()
        state.teacher.eval()
        figures = train_step(state, state.student, batches, config)
        moved.append((figures["loss_local"], figures["loss_occupancy"], figures["gradient_norm"]))
    torch.testing.assert_close(*moved, rtol=1e-5, atol=1e-7)


def test_recomputed_activations_change_nothing(tiny: IsccConfig, batch: Batch):
    after = []
    for recompute in (False, True):
        state = new_state(tiny, dataclasses.replace(ON_CPU, recompute=recompute))
        for state.step in range(2):
            train_step(state, state.student, [batch], tiny)
        after.append(weights_after(state))
    torch.testing.assert_close(after[0], after[1], rtol=0, atol=0)


def test_recomputation_keeps_less(tiny: IsccConfig, batch: Batch):
    def kept(recompute: bool) -> int:
        sizes: list[int] = []

        def note(tensor: torch.Tensor) -> torch.Tensor:
            sizes.append(tensor.nbytes)
            return tensor

        state = new_state(tiny, dataclasses.replace(ON_CPU, recompute=recompute))
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            state.student(batch)
        return sum(sizes)

    assert kept(True) < 0.6 * kept(False)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_is_close_and_losses_are_float32(tiny: IsccConfig, batch: Batch, half: torch.dtype):
    full, low = (new_state(tiny, dataclasses.replace(ON_CPU, half=dtype)) for dtype in (None, half))
    f1, occupied = low.student(batch)
    assert f1.dtype == occupied.dtype == torch.float32
    exact, rounded = (train_step(state, state.student, [batch], tiny) for state in (full, low))
    for name in ("loss_global", "loss_local", "loss_occupancy"):
        assert rounded[name].dtype == torch.float32
        torch.testing.assert_close(rounded[name], exact[name], rtol=0.03, atol=0.03)
    assert all(p.dtype == torch.float32 for p in low.student.parameters())


def test_an_overflow_in_fp16_lowers_the_scale_and_skips_the_update(tiny: IsccConfig, batch: Batch):
    state = new_state(tiny, dataclasses.replace(ON_CPU, half=torch.float16))
    state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**30)
    before = {name: weight.clone() for name, weight in state.student.named_parameters()}
    figures = train_step(state, state.student, [batch], tiny)
    assert not torch.isfinite(figures["gradient_norm"])
    assert state.scaler.get_scale() == 2.0**29
    torch.testing.assert_close(dict(state.student.named_parameters()), before, rtol=0, atol=0)
