"""How any head is fine-tuned: optimisation, and the running of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from iscc_lidar.shared.base.config import option
from iscc_lidar.trainer.hardware.device import Precision
from iscc_lidar.trainer.run.options import RunningOptions

Transfer = Literal["all", "down"]
"""What is taken over of a pre-trained U-Net: stem, way down and way up, or without the last."""


@dataclass(frozen=True)
class TrainConfig(RunningOptions):
    """Optimisation, and the running of it."""

    epochs: tuple[int, ...] = option(
        (30,), "passes over the sweeps in use where they are the shares epochs_at of all that have labels"
    )
    epochs_at: tuple[float, ...] = option(
        (100.0,), "percent, rising; between them epochs are interpolated on logarithmic axes, beyond them held"
    )
    steps: int = option(0, "optimiser steps instead of epochs; 0 goes by epochs")
    batch_size: int = option(2, "sweeps a step, over all processes")
    transfer: Transfer = option(
        "all",
        "what is taken over of a pre-trained U-Net: all of it, or its way down, with a new way up. The last layers are "
        "the most bent to the pretext task: they help a short run, and hold a long one back",
    )
    head_learning_rate: float = option(1e-2, "peak of AdamW's rate for all that is new: the head, a new way up")
    encoder_learning_rate: float = option(1e-2, "peak of AdamW's rate for what was pre-trained")
    frozen: float = option(
        0.1,
        "share of the run in which what was pre-trained is held fixed: new layers' first gradients would spoil it",
    )
    weight_decay: float = option(0.3, "AdamW's decoupled decay; short runs on few sweeps want it high")
    clip_norm: float = option(5.0, "gradients longer than this are shortened; 0 never")
    seed: int = option(0, "seed of the head's (and an untrained encoder's) weights, order and augmentations")
    precision: Precision = option("auto", "what the network computes in, as in pre-training")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.epochs or len(self.epochs) != len(self.epochs_at) or min(self.epochs) < 1:
            raise ValueError("train.epochs and train.epochs_at must be equally long, and each epoch at least 1")
        if min(self.epochs_at) <= 0 or list(self.epochs_at) != sorted(set(self.epochs_at)):
            raise ValueError(f"train.epochs_at must rise, from above 0, not {list(self.epochs_at)}")
        if self.batch_size < 1:
            raise ValueError(f"train.batch_size must be at least 1, not {self.batch_size}")
        if self.steps < 0:
            raise ValueError(f"train.steps must be 0 or more, not {self.steps}")
        if not 0 <= self.frozen < 1:
            raise ValueError(f"train.frozen is a share from 0 to below 1, not {self.frozen}")
