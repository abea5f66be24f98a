"""Single training steps on this machine's CPU, as the loop takes them, and how to interrupt a run in one of them."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

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


def die_in_step(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let a run die in the middle of a step, as a kill would."""
    real = loop.take_step

    def dying(learner: Any, state: TrainingState, *rest: Any) -> dict[str, Tensor]:
        if state.step == step:
            raise KilledError
        return real(learner, state, *rest)

    monkeypatch.setattr(loop, "take_step", dying)
