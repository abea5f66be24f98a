"""Options of a training run that pre-training and fine-tuning share."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final, Literal

from iscc_lidar.shared.base.config import MOST, check_ranges, option
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
    loader_workers: int = option(
        2, "processes that make samples; 0 makes them in the training process; same result", at_least=0, at_most=1024
    )
    keep_sweeps: int = option(
        64, "decoded sweeps that each loader process keeps, 1 to 3 MB each; same result", at_least=0
    )
    log_every: int = option(10, "steps between two lines of metrics.jsonl", at_least=1)
    checkpoint_every: int = option(200, "steps between two checkpoints", at_least=1)
    tensorboard: bool = option(False, "write TensorBoard events as well; needs: pip install tensorboard")

    def __post_init__(self) -> None:
        check_ranges(self, "train")


FREE_TO_CHANGE: Final = frozenset(field.name for field in fields(ExecutionConfig))
"""Options of the train section that a resumed run may change; it may also run on another number of processes."""


@dataclass(frozen=True)
class TrainConfig(ExecutionConfig):
    """Optimisation, and how a run is executed."""

    batch_size: int = option(2, "samples per step, over all micro-batches and processes", at_least=1, at_most=10**6)
    micro_batches: int = option(
        1,
        "micro-batches that a step is cut into, one after the other, to save memory; what is computed over a batch "
        "(batch norm, prototype assignment, 'batch' negatives) is then computed over each",
        at_least=1,
        at_most=10**6,
    )
    precision: Precision = option(
        "auto",
        "what the encoder computes in; losses are always fp32. auto: fp32 on a CPU; on CUDA bf16 where GPU and "
        "engine can, else fp16",
    )
    weight_decay: float = option(1e-2, "AdamW's decoupled decay", at_least=0)
    clip_norm: float = option(5.0, "longer gradients are clipped to this norm; 0 never", at_least=0, at_most=MOST)
    seed: int = option(0, "seed of new weights, order, pairs, augmentations and masks", at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size % self.micro_batches != 0:
            raise ValueError(
                f"train.batch_size={self.batch_size} cannot be cut into train.micro_batches={self.micro_batches} "
                "equal micro-batches"
            )
