"""Options of a training run that pre-training and fine-tuning share."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final, Literal

from iscc_lidar.shared.base.config import option
from iscc_lidar.shared.base.ranges import MOST, check_ranges
from iscc_lidar.trainer.engine.choose import EngineName
from iscc_lidar.trainer.hardware.device import DeviceName, Precision

TaskName = Literal["pretrain", "semseg", "detection"]
"""What a run trains for."""


@dataclass(frozen=True)
class ExecutionConfig:
    """What may change between a run and its resumption: it changes what is learnt by no more than rounding."""

    device: DeviceName = option("auto", "auto takes CUDA where available")
    engine: EngineName = option(
        "auto", "of the sparse convolutions; auto takes torchsparse on CUDA where it is installed and passes its check"
    )
    activation_checkpointing: bool = option(
        False, "keep only the input of each stage of the U-Net for the backward pass: less memory, a third more time"
    )
    loader_workers: int = option(2, "processes that make samples; 0 makes them in the training process; same result")
    keep_sweeps: int = option(64, "decoded sweeps that each loader process keeps, 1 to 3 MB each; same result")
    log_every: int = option(10, "steps between two lines of metrics.jsonl")
    checkpoint_every: int = option(200, "steps between two checkpoints")
    tensorboard: bool = option(False, "write TensorBoard events as well; needs: pip install 'iscc-lidar[tensorboard]'")

    def __post_init__(self) -> None:
        counts = {"log_every": (1, MOST), "checkpoint_every": (1, MOST)}
        check_ranges("train", self, loader_workers=(0, 1024), keep_sweeps=(0, MOST), **counts)


FREE_TO_CHANGE: Final = frozenset(field.name for field in fields(ExecutionConfig))
"""Options of the train section that a resumed run may change; it may also run on another number of processes."""


@dataclass(frozen=True)
class TrainConfig(ExecutionConfig):
    """Optimisation, and how a run is executed."""

    batch_size: int = option(2, "samples per step, over all micro-batches and processes")
    micro_batches: int = option(
        1,
        "micro-batches that a step is cut into, one after the other, to save memory; what is computed over a batch "
        "(batch norm, prototype assignment, 'batch' negatives) is then computed over each",
    )
    precision: Precision = option(
        "auto",
        "what the encoder computes in; losses are always fp32. auto: fp32 on a CPU; on CUDA bf16 where GPU and "
        "engine can, else fp16",
    )
    weight_decay: float = option(1e-2, "AdamW's decoupled decay")
    clip_norm: float = option(5.0, "longer gradients are clipped to this norm; 0 never")
    seed: int = option(0, "seed of new weights, order, pairs, augmentations and masks")

    def __post_init__(self) -> None:
        super().__post_init__()
        rates = {f.name: (0, math.inf) for f in fields(self) if f.name.endswith("learning_rate")}
        at_least_0 = {"weight_decay": (0, math.inf), "clip_norm": (0, MOST), "seed": (0, MOST)}
        check_ranges("train", self, batch_size=(1, 10**6), micro_batches=(1, 10**6), **at_least_0, **rates)
        if self.batch_size % self.micro_batches != 0:
            raise ValueError(
                f"train.batch_size={self.batch_size} cannot be cut into train.micro_batches={self.micro_batches} "
                "equal micro-batches"
            )
