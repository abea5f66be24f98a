"""Options of fine-tuning that do not depend on the task."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from iscc_lidar.shared.base.config import option
from iscc_lidar.trainer.data.voxelize import INPUT_CHANNELS
from iscc_lidar.trainer.model.unet import ModelConfig
from iscc_lidar.trainer.run.options import TrainConfig

Transfer = Literal["all", "down"]
"""Parts of a pre-trained U-Net to transfer: stem, encoder and decoder, or without the decoder."""


def check_inputs(model: ModelConfig) -> None:
    """Check that a network takes the features that voxelize.py makes. Raises ValueError."""
    if model.in_channels != INPUT_CHANNELS:
        raise ValueError(f"model.in_channels must be {INPUT_CHANNELS}, the features that voxelize.py makes")


@dataclass(frozen=True)
class FinetuneTrainConfig(TrainConfig):
    """Optimisation of fine-tuning, and its execution."""

    epochs: tuple[int, ...] = option(
        (30,),
        "epochs over the sweeps in use, when their share of all labelled sweeps is the one in epochs_at",
        at_least=1,
        at_most=10**6,
    )
    epochs_at: tuple[float, ...] = option(
        (100.0,),
        "percent, ascending; epochs are interpolated between them on logarithmic axes, and constant beyond them",
        at_least=1e-6,
        at_most=100,
    )
    steps: int = option(0, "optimiser steps instead of epochs; 0 uses epochs", at_least=0, at_most=10**12)
    transfer: Transfer = option(
        "all",
        "parts of a pre-trained U-Net to transfer: all, or only the encoder, with a new decoder. The last layers are "
        "the most specific to the pretext task: they help a short run, and slow a long one",
    )
    head_learning_rate: float = option(
        1e-2, "peak learning rate of AdamW for new layers: head, new decoder", at_least=0
    )
    encoder_learning_rate: float = option(1e-2, "peak learning rate of AdamW for pre-trained layers", at_least=0)
    freeze_fraction: float = option(
        0.1,
        "share of the run in which pre-trained layers are frozen: the first gradients of new layers would spoil them; "
        "1 trains new layers alone",
        at_least=0,
        at_most=1,
    )
    weight_decay: float = option(0.3, "decoupled weight decay of AdamW; high for short runs on few sweeps", at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.epochs or len(self.epochs) != len(self.epochs_at):
            raise ValueError("train.epochs and train.epochs_at must be equally long, and have at least one value")
        if list(self.epochs_at) != sorted(set(self.epochs_at)):
            raise ValueError(f"train.epochs_at must rise, from above 0, not {list(self.epochs_at)}")

    def steps_for(self, sweeps: int, labelled: int) -> int:
        """Return the steps of a run on ``sweeps`` of all ``labelled`` ones."""
        at = [math.log(percent) for percent in self.epochs_at]
        epochs = math.exp(np.interp(math.log(100 * sweeps / labelled), at, [math.log(e) for e in self.epochs]))
        return self.steps or max(1, math.ceil(round(epochs) * sweeps / self.batch_size))
