"""Checkpoints of fine-tuning: the network for whoever uses it, everything else apart for going on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Final

from iscc_lidar.trainer.finetune.config import FinetuneConfig
from iscc_lidar.trainer.finetune.tune_step import TuneState
from iscc_lidar.trainer.run import resume_file
from iscc_lidar.trainer.run.weights import write_weights

NETWORK_FILE: Final = "segmentation.safetensors"


def save(out: Path, state: TuneState, done: int, config: FinetuneConfig, classes: int) -> None:
    """Write the network, then the resume file, each in one step."""
    about = {"step": done, "model": dataclasses.asdict(config.model), "classes": classes}
    write_weights(out / NETWORK_FILE, state.network.state_dict(), about)
    content = {
        "step": done,
        "network": state.network.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "scaler": state.scaler.state_dict(),
    }
    resume_file.write(out, content)


def restore(out: Path, state: TuneState) -> None:
    """Bring a state to where the checkpoint in ``out`` was taken. Raises UserError where it is damaged."""
    resume_file.restore(out, {"network": state.network, "optimizer": state.optimizer}, state.scaler)
