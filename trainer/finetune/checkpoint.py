"""Checkpoints of fine-tuning: the network for whoever uses it, everything else apart for going on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from iscc_lidar.trainer.finetune.tune_step import TuneState
from iscc_lidar.trainer.run import resume_file
from iscc_lidar.trainer.run.weights import write_weights


def save(path: Path, state: TuneState, done: int, about: Mapping[str, object]) -> None:
    """Write the network to ``path``, then the resume file beside it, each in one step."""
    write_weights(path, state.network.state_dict(), {"step": done, **about})
    content = {
        "step": done,
        "network": state.network.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "scaler": state.scaler.state_dict(),
    }
    resume_file.write(path.parent, content)


def restore(out: Path, state: TuneState) -> None:
    """Bring a state to where the checkpoint in ``out`` was taken. Raises UserError where it is damaged."""
    resume_file.restore(out, {"network": state.network, "optimizer": state.optimizer}, state.scaler)
