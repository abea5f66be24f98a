"""Options that every pre-training method has; each method adds sections of its own, in its file in methods/."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from iscc_lidar.shared.base.config import option, section
from iscc_lidar.trainer.data.augment import AugmentConfig
from iscc_lidar.trainer.data.voxelize import INPUT_CHANNELS
from iscc_lidar.trainer.model.unet import ModelConfig
from iscc_lidar.trainer.pretrain.heads import HeadConfig
from iscc_lidar.trainer.pretrain.samples.sample import PairConfig
from iscc_lidar.trainer.pretrain.samples.voxel_samples import VoxelSampleConfig
from iscc_lidar.trainer.run.options import TrainConfig

RECIPES: Final = Path(__file__).parent / "recipes"
BASES: Final = ("quick", "minkunet")
"""Recipes that set a run's length or the network's width; any other may follow one of them."""


@dataclass(frozen=True)
class MethodConfig:
    """Which method is trained."""

    name: str = option("iscc", "method of pre-training; its own sections follow from it")


@dataclass(frozen=True)
class PretrainTrainConfig(TrainConfig):
    """Optimisation of pre-training, and how it is executed."""

    steps: int = option(
        1500,
        "optimiser steps; the length of warm-up, cosine and teacher schedule follow from it",
        at_least=1,
        at_most=10**12,
    )
    learning_rate: float = option(
        4e-3, "peak of AdamW's learning rate; occupancy needs it this high in short runs", at_least=0
    )


@dataclass(frozen=True)
class PretrainConfig:
    """Options of ``iscc-train pretrain`` that do not depend on the method."""

    method: MethodConfig = section(MethodConfig)
    model: ModelConfig = section(ModelConfig)
    data: PairConfig = section(PairConfig)
    augment: AugmentConfig = section(AugmentConfig)
    voxel_samples: VoxelSampleConfig = section(VoxelSampleConfig)
    heads: HeadConfig = section(HeadConfig)
    train: PretrainTrainConfig = section(PretrainTrainConfig)

    def __post_init__(self) -> None:
        if self.model.in_channels != INPUT_CHANNELS:
            raise ValueError(f"model.in_channels must be {INPUT_CHANNELS}, the features that voxelize.py makes")


@dataclass(frozen=True)
class SingleSweepConfig(PretrainConfig):
    """Options of a method that contrasts whole regions of one sweep, augmented twice, with the scene as it is."""

    data: PairConfig = section(PairConfig, partner="same")
    voxel_samples: VoxelSampleConfig = section(VoxelSampleConfig, voxels=0)
