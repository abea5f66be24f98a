"""Steps of fine-tuning, whatever the task: micro-batches, and gradients that are not finite."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.data.pairs import SampleKey
from iscc_lidar.trainer.hardware.device import ON_CPU
from iscc_lidar.trainer.run import loop
from iscc_lidar.trainer.run.checkpoint import checkpoint_step
from iscc_lidar.trainer.run.state import new_state
from iscc_lidar.trainer.run.weights import read_weights

import runs
from steps import KilledError, die_in_step, one_step, spoil_gradient


def test_micro_batches_weigh_by_what_the_losses_are_means_over(job: Any):
    """Batch norm in evaluation mode: then a step cut in two is the same step."""
    learner = job.learner()
    samples = [learner.dataset[SampleKey(0, place)] for place in (0, 2, 4)]
    parts = [learner.collate(samples[:1]), learner.collate(samples[1:])]
    counts = [{name: float(count) for name, count in learner.counts(part).items()} for part in parts]
    assert all(min(of_part.values()) >= 1 for of_part in counts)
    assert all(counts[0][name] != counts[1][name] for name in counts[0])
    found = []
    for batches in ([learner.collate(samples)], parts):
        state = new_state(learner, ON_CPU)
        state.network.eval()
        figures = one_step(learner, state, batches)
        found.append({name: value for name, value in figures.items() if "loss" in name or name == "gradient_norm"})
    assert len(found[0]) == 2 + (1 if job.name == "semseg" else 2)
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-6)


def test_a_nan_gradient_at_a_checkpoints_step_leaves_the_last_checkpoint_as_it_was(
    job: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The loss is finite: only the gradient tells. The next checkpoint is due right after this step."""
    out, names = tmp_path / "run", []
    files = runs.OF_ANY_RUN | {job.task.network_file, "labelled.txt"}
    assert loop.train(job.learner(), tmp_path / "whole")
    with monkeypatch.context() as patch:
        spoil_gradient(patch, 5, names)
        with pytest.raises(
            UserError, match=r"step 5: loss \d.*, gradient norm nan: not finite\. Sweeps of this"
        ) as told:
            loop.train(job.learner(), out)
    assert len(names) == 2
    assert all(name in str(told.value) for name in names)
    assert "The last checkpoint is intact, but --resume would come to this step again" in str(told.value)
    assert str(told.value).endswith("with a lower train.head_learning_rate or train.encoder_learning_rate")
    assert checkpoint_step(out) == 3
    weights, header = read_weights(out / job.task.network_file)
    assert header["step"] == 3
    assert all(bool(tensor.isfinite().all()) for tensor in weights.values())
    with monkeypatch.context() as patch:
        die_in_step(patch, 3)
        with pytest.raises(KilledError):
            loop.train(job.learner(), tmp_path / "three")
    assert runs.differences(out, tmp_path / "three", files) == ["metrics.jsonl"]  # two more steps were taken
    assert loop.train(job.learner(), out, resume=True)
    assert runs.differences(out, tmp_path / "whole", files) == []


def test_a_run_cuts_its_steps_into_micro_batches(job: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    halves = replace(job.config, train=replace(job.config.train, micro_batches=2, steps=2))
    real, names = loop.take_step, []

    def noted(learner, state, network, batches, device):
        names.append([batch.names for batch in batches])
        return real(learner, state, network, batches, device)

    monkeypatch.setattr(loop, "take_step", noted)
    assert loop.train(replace(job, config=halves).learner(), tmp_path / "halves")
    assert [[len(of_batch) for of_batch in of_step] for of_step in names] == [[1, 1], [1, 1]]
