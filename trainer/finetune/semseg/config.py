"""Options of fine-tuning for semantic segmentation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from iscc_lidar.shared.base.config import check_ranges, option, section
from iscc_lidar.trainer.data.augment import AugmentConfig
from iscc_lidar.trainer.finetune.config import FinetuneTrainConfig, check_inputs
from iscc_lidar.trainer.finetune.labels import LabelConfig
from iscc_lidar.trainer.finetune.semseg.lasermix import MixConfig
from iscc_lidar.trainer.finetune.semseg.loss import SemsegLossConfig
from iscc_lidar.trainer.model.unet import ModelConfig

RECIPES: Final = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class SemsegDataConfig:
    """Points for training; every point is scored."""

    max_range_m: float = option(
        80.0, "points beyond this range are left out in training, metres", at_least=0.1, at_most=10_000
    )

    def __post_init__(self) -> None:
        check_ranges(self, "data")


@dataclass(frozen=True)
class SemsegConfig:
    """Configuration of ``iscc-train finetune semseg``. With ``--encoder``, ``model`` is that of its weights."""

    model: ModelConfig = section(ModelConfig)
    labels: LabelConfig = section(LabelConfig)
    data: SemsegDataConfig = section(SemsegDataConfig)
    augment: AugmentConfig = section(AugmentConfig)
    mix: MixConfig = section(MixConfig)
    loss: SemsegLossConfig = section(SemsegLossConfig)
    train: FinetuneTrainConfig = section(FinetuneTrainConfig)

    def __post_init__(self) -> None:
        check_inputs(self.model)
