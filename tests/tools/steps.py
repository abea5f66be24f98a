"""Training in this process: a step, a fine-tuning, and how to interrupt or spoil a run in one of its steps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from iscc_lidar.trainer.finetune.encoder import Encoder
from iscc_lidar.trainer.finetune.learner import FinetuneLearner
from iscc_lidar.trainer.run import loop
from iscc_lidar.trainer.run.learner import Learner
from iscc_lidar.trainer.run.state import TrainingState
from iscc_lidar.trainer.run.step import take_step


class KilledError(Exception):
    """What ``die_in_step`` raises."""


def one_step(learner: Learner, state: TrainingState, batches: Sequence[Any]) -> dict[str, Tensor]:
    """Take one step at its learning rates; returns its figures."""
    state.schedule(learner.steps)
    return take_step(learner, state, state.network, batches, torch.device("cpu"))


def finetune(
    task: type[FinetuneLearner],
    cache_path: Path | str,
    out: Path,
    config: Any,
    encoder: Encoder | None = None,
    listed: Path | None = None,
    among: Path | None = None,
    **how: bool,
) -> bool:
    """Fine-tune in ``out``, as the command does."""
    return loop.train(task.of(cache_path, config, encoder, listed, among), out, **how)


def die_in_step(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let a run die in the middle of a step, as a kill would."""
    real = loop.take_step

    def dying(learner: Any, state: TrainingState, *rest: Any) -> dict[str, Tensor]:
        if state.step == step:
            raise KilledError
        return real(learner, state, *rest)

    monkeypatch.setattr(loop, "take_step", dying)


def spoil_gradient(monkeypatch: pytest.MonkeyPatch, step: int, names: list[str]) -> None:
    """Let a gradient be NaN in one step, while the loss is finite; note the names of that step's sweeps."""
    real = loop.take_step

    def spoilt(learner: Any, state: TrainingState, network: Any, batches: Sequence[Any], device: Any) -> Any:
        if state.step == step:
            names.extend(name for batch in batches for name in batch.names)
            weight = next(p for p in state.network.parameters() if p.requires_grad)
            weight.register_hook(lambda gradient: gradient * float("nan"))
        return real(learner, state, network, batches, device)

    monkeypatch.setattr(loop, "take_step", spoilt)
