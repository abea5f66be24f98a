"""Options of how a run is run: pre-training and fine-tuning share them."""

from __future__ import annotations

from dataclasses import dataclass

from iscc_lidar.shared.base.config import option
from iscc_lidar.trainer.engine.choose import EngineName
from iscc_lidar.trainer.hardware.device import DeviceName


@dataclass(frozen=True)
class RunningOptions:
    """What may change between a run and its resumption: none of it is part of what is learnt."""

    device: DeviceName = option("auto", "auto takes CUDA where there is one")
    engine: EngineName = option(
        "auto", "of the sparse convolutions; auto takes torchsparse on CUDA where it is installed and passes its check"
    )
    recompute: bool = option(
        False, "keep only the input of each stage of the U-Net for the backward pass: less memory, a third more time"
    )
    loader_workers: int = option(2, "processes that make samples; 0 makes them in the training process; same result")
    keep_sweeps: int = option(64, "decoded sweeps that each loader process keeps, 1 to 3 MB each; same result")
    log_every: int = option(10, "steps between two lines of metrics.jsonl")
    checkpoint_every: int = option(200, "steps between two checkpoints")
    tensorboard: bool = option(False, "write TensorBoard events as well; needs: pip install 'iscc-lidar[tensorboard]'")

    def __post_init__(self) -> None:
        for name in ("log_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"train.{name} must be at least 1, not {getattr(self, name)}")
