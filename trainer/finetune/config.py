"""Options of fine-tuning that do not depend on the task."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from iscc_lidar.shared.base.config import option
from iscc_lidar.trainer.run.options import TrainConfig

Transfer = Literal["all", "down"]
"""Parts of a pre-trained U-Net to transfer: stem, encoder and decoder, or without the decoder."""


@dataclass(frozen=True)
class FinetuneTrainConfig(TrainConfig):
    """Optimisation of fine-tuning, and its execution."""

    epochs: tuple[int, ...] = option(
        (30,), "epochs over the sweeps in use, when their share of all labelled sweeps is the one in epochs_at"
    )
    epochs_at: tuple[float, ...] = option(
        (100.0,),
        "percent, ascending; epochs are interpolated between them on logarithmic axes, and constant beyond them",
    )
    steps: int = option(0, "optimiser steps instead of epochs; 0 uses epochs")
    transfer: Transfer = option(
        "all",
        "parts of a pre-trained U-Net to transfer: all, or only the encoder, with a new decoder. The last layers are "
        "the most specific to the pretext task: they help a short run, and slow a long one",
    )
    head_learning_rate: float = option(1e-2, "peak learning rate of AdamW for new layers: head, new decoder")
    encoder_learning_rate: float = option(1e-2, "peak learning rate of AdamW for pre-trained layers")
    freeze_fraction: float = option(
        0.1,
        "share of the run in which pre-trained layers are frozen: the first gradients of new layers would spoil them",
    )
    weight_decay: float = option(0.3, "decoupled weight decay of AdamW; high for short runs on few sweeps")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.epochs or len(self.epochs) != len(self.epochs_at) or min(self.epochs) < 1:
            raise ValueError("train.epochs and train.epochs_at must be equally long, and each epoch at least 1")
        if min(self.epochs_at) <= 0 or list(self.epochs_at) != sorted(set(self.epochs_at)):
            raise ValueError(f"train.epochs_at must rise, from above 0, not {list(self.epochs_at)}")
        if self.steps < 0:
            raise ValueError(f"train.steps must be 0 or more, not {self.steps}")
        if not 0 <= self.freeze_fraction < 1:
            raise ValueError(f"train.freeze_fraction must be at least 0 and below 1, not {self.freeze_fraction}")

    def steps_for(self, sweeps: int, labelled: int) -> int:
        """Return the steps of a run on ``sweeps`` of all ``labelled`` ones."""
        at = [math.log(percent) for percent in self.epochs_at]
        epochs = math.exp(np.interp(math.log(100 * sweeps / labelled), at, [math.log(e) for e in self.epochs]))
        return self.steps or max(1, math.ceil(round(epochs) * sweeps / self.batch_size))
