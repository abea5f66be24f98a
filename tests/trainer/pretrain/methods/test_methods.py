"""What every method must do: learn something, go on exactly where it stopped, and weigh micro-batches rightly."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.pairs import SampleKey
from iscc_lidar.trainer.hardware.device import ON_CPU
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.dataset import PairDataset
from iscc_lidar.trainer.pretrain.learner import PretrainLearner, pretrain
from iscc_lidar.trainer.pretrain.method import find_method, method_names
from iscc_lidar.trainer.pretrain.samples.batch import collate
from iscc_lidar.trainer.run.checkpoint import checkpoint_step, read_checkpoint
from iscc_lidar.trainer.run.state import new_state

from steps import KilledError, die_in_step, one_step

ConfigOf = Callable[..., PretrainConfig]
NAMES = method_names()
OTHERS = [name for name in NAMES if name != "iscc"]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_a_method_with_a_recipe(name: str, tiny_run_of: ConfigOf):
    assert find_method(name).title.lower() == name
    assert tiny_run_of(name).method.name == name


SHORT = ("train.steps=140", "train.learning_rate=0.02", "segcontrast.queue.size=512")
# A feature of a whole scene tells it from others only where streets differ and views are alike, and takes longer.
LONGER = ("train.steps=80", "train.learning_rate=0.01", "train.batch_size=8", "queue.size=64", "data.max_range_m=20")
ALIKE = ("model.voxel_size=1.0", "augment.rotate_deg=0", "augment.flip=false", "augment.scale=0", "augment.drop=0")
QUICK_TEACHER = ("teacher.momentum_start=0.99", "teacher.momentum_end=0.99")


@pytest.mark.parametrize("name", [OTHERS[0], *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS[1:])])
def test_a_short_run_learns_something(
    name: str, cache_path: Path, streets_path: Path, tiny_run_of: ConfigOf, tmp_path: Path
):
    of_scenes = name == "depthcontrast"
    teacher = QUICK_TEACHER if find_method(name).has_teacher else ()
    config = tiny_run_of(name, *teacher, *((*LONGER, *ALIKE) if of_scenes else SHORT))
    assert pretrain([streets_path if of_scenes else cache_path], tmp_path / "run", config)
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    first, last = lines[4:14], lines[-10:]

    def mean(of: list[dict[str, float]], figure: str) -> float:
        return sum(line[figure] for line in of) / len(of)

    # While the queue fills, the loss of the best features rises; what it is for features that tell nothing does, too.
    at_first, at_last = (mean(of, "loss_contrast") / mean(of, "guessing") for of in (first, last))
    assert at_last < min(0.85 * at_first, 0.95)
    apart_at_first, apart_at_last = (mean(of, "cosine_same") - mean(of, "cosine_others") for of in (first, last))
    assert apart_at_last > apart_at_first
    assert all(line["groups"] > 0 and line["loss"] == line["loss_contrast"] for line in lines)


@pytest.mark.parametrize("name", OTHERS)
def test_an_interrupted_and_resumed_run_ends_bit_for_bit_the_same(
    name: str, cache_path: Path, tiny_run_of: ConfigOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = tiny_run_of(name)
    assert pretrain([cache_path], tmp_path / "whole", config)
    with monkeypatch.context() as patch:
        die_in_step(patch, 5)
        with pytest.raises(KilledError):
            pretrain([cache_path], tmp_path / "run", config)
    assert checkpoint_step(tmp_path / "run") == 3
    assert pretrain([cache_path], tmp_path / "run", config, resume=True)
    for file in ("encoder.safetensors", "heads.safetensors", "metrics.jsonl"):
        assert (tmp_path / "run" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    resumed, straight = (read_checkpoint(tmp_path / run) for run in ("run", "whole"))
    torch.testing.assert_close(resumed, straight, rtol=0, atol=0)


@pytest.mark.parametrize("name", OTHERS)
def test_micro_batches_weigh_by_their_regions(name: str, cache: Cache, tiny_run_of: ConfigOf):
    """Batch norm in evaluation mode, negatives of the scene or of a full queue: a step cut in two is the same step."""
    config = tiny_run_of(name, *(() if find_method(name).has_teacher else ["contrast.negatives=scene"]))
    dataset = PairDataset(cache, config)
    samples = [dataset[SampleKey(0, place)] for place in (0, 7, 9)]
    moved = []
    for batches in ([collate(samples)], [collate(samples[:1]), collate(samples[1:])]):
        learner = PretrainLearner([cache], config)
        state = new_state(learner, ON_CPU)
        state.network.eval()
        state.others["teacher"].eval()
        rows = torch.nn.functional.normalize(torch.randn(64, 8, generator=torch.Generator().manual_seed(0)), dim=1)
        state.others["memory"].refresh(rows)
        figures = one_step(learner, state, batches)
        moved.append((figures["loss_contrast"], figures["gradient_norm"], state.others["memory"].state_dict()))
    torch.testing.assert_close(*moved, rtol=1e-5, atol=1e-6)


def test_only_methods_with_a_teacher_move_it(cache: Cache, tiny_run_of: ConfigOf):
    for name in NAMES:
        config = tiny_run_of(name)
        dataset = PairDataset(cache, config)
        learner = PretrainLearner([cache], config)
        state = new_state(learner, ON_CPU)
        teacher = state.others["teacher"]
        before = [p.clone() for p in teacher.parameters()]
        for _ in range(2):  # the first step of a queue has nothing to contrast with
            one_step(learner, state, [collate([dataset[SampleKey(0, 3)], dataset[SampleKey(0, 4)]])])
        moved = any(not torch.equal(p, q) for p, q in zip(teacher.parameters(), before, strict=True))
        assert moved == find_method(name).has_teacher, name


def test_a_cache_of_single_sweeps_will_do_for_pairs_of_one_sweep(cache: Cache, tiny_run_of: ConfigOf):
    sequences = [
        dataclasses.replace(entry, windows=tuple(dataclasses.replace(w, stop=w.start + 1) for w in entry.windows))
        for entry in cache.manifest.sequences
    ]
    alone = Cache(cache.path)
    alone.manifest = dataclasses.replace(cache.manifest, sequences=tuple(sequences))
    for name in ("segcontrast", "same_sweep"):
        dataset = PairDataset(alone, tiny_run_of(name))
        assert len(dataset) == 4  # two sequences of two windows
        sample = dataset[SampleKey(0, 1)]
        assert sample.names[0] == sample.names[1]
        assert len(sample.ground) > 5
