"""All options of a pre-training run, section by section; each section is declared beside its code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from iscc_lidar.shared.base.config import find_shipped, option, section
from iscc_lidar.trainer.data.augment import AugmentConfig
from iscc_lidar.trainer.data.voxelize import INPUT_CHANNELS
from iscc_lidar.trainer.hardware.device import Precision
from iscc_lidar.trainer.model.unet import ModelConfig
from iscc_lidar.trainer.pretrain.heads import HeadConfig
from iscc_lidar.trainer.pretrain.losses.local_contrast import LocalConfig
from iscc_lidar.trainer.pretrain.losses.prototypes import GlobalConfig
from iscc_lidar.trainer.pretrain.losses.weights import LossConfig
from iscc_lidar.trainer.pretrain.methods.options import MethodConfig
from iscc_lidar.trainer.pretrain.samples.crops import CropConfig
from iscc_lidar.trainer.pretrain.samples.ground_cells import GroundConfig
from iscc_lidar.trainer.pretrain.samples.parts import PartConfig
from iscc_lidar.trainer.pretrain.samples.queries import QueryConfig
from iscc_lidar.trainer.pretrain.samples.sample import DataConfig
from iscc_lidar.trainer.pretrain.teacher import TeacherConfig
from iscc_lidar.trainer.run.options import RunningOptions

RECIPES: Final = Path(__file__).parent / "recipes"
BASES: Final = ("quick", "minkunet")
"""Recipes that set a run's length or the network's width; any other may follow one of them."""


@dataclass(frozen=True)
class TrainConfig(RunningOptions):
    """Optimisation, and the running of it."""

    steps: int = option(1500, "optimiser steps; the length of warm-up, cosine and teacher schedule follow from it")
    batch_size: int = option(2, "pairs of sweeps a step, over all micro-batches and processes")
    micro_batches: int = option(
        1,
        "parts a step is cut into, one after the other, to save memory; statistics of batch norm, prototypes' "
        "assignment and 'batch' negatives are then those of a part",
    )
    precision: Precision = option(
        "auto",
        "what the encoder computes in; losses are always fp32. auto: fp32 on a CPU; on CUDA bf16 where GPU and "
        "engine can, else fp16",
    )
    learning_rate: float = option(4e-3, "peak of AdamW's rate; occupancy needs it this high in short runs")
    weight_decay: float = option(1e-2, "AdamW's decoupled decay")
    clip_norm: float = option(5.0, "gradients longer than this are shortened; 0 never")
    seed: int = option(0, "seed of weights, order, pairs, augmentations and crops")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "batch_size", "micro_batches"):
            if getattr(self, name) < 1:
                raise ValueError(f"train.{name} must be at least 1, not {getattr(self, name)}")
        if self.batch_size % self.micro_batches != 0:
            raise ValueError(
                f"train.batch_size={self.batch_size} cannot be cut into train.micro_batches={self.micro_batches} "
                "equal parts"
            )


@dataclass(frozen=True)
class PretrainConfig:
    """Configuration of ``iscc-train pretrain``."""

    method: MethodConfig = section(MethodConfig)
    model: ModelConfig = section(ModelConfig)
    data: DataConfig = section(DataConfig)
    augment: AugmentConfig = section(AugmentConfig)
    crops: CropConfig = section(CropConfig)
    queries: QueryConfig = section(QueryConfig)
    ground: GroundConfig = section(GroundConfig)
    parts: PartConfig = section(PartConfig)
    heads: HeadConfig = section(HeadConfig)
    loss: LossConfig = section(LossConfig)
    clustering: GlobalConfig = section(GlobalConfig)
    local: LocalConfig = section(LocalConfig)
    teacher: TeacherConfig = section(TeacherConfig)
    train: TrainConfig = section(TrainConfig)

    def __post_init__(self) -> None:
        if self.model.in_channels != INPUT_CHANNELS:
            raise ValueError(f"model.in_channels must be {INPUT_CHANNELS}, the features that voxelize.py makes")
        self._check_method()

    def _check_method(self) -> None:
        name, loss = self.method.name, self.loss
        weights = (loss.global_weight, loss.local_weight, loss.occupancy_weight)
        if name == "iscc" and not any(weights):
            raise ValueError("all three weights of the section loss are 0: nothing would be learnt")
        if name != "iscc" and (any(weights) or self.crops.per_sweep > 0 or self.ground.cells > 0):
            raise ValueError(
                f"method.name={name} has one loss and regions of its own, and hides nothing: the weights of the "
                f"section loss, crops.per_sweep and ground.cells must be 0; --recipe {name}, given last, sets them"
            )
        if name in ("pointcontrast", "sspl") and self.data.partner != "same":
            raise ValueError(f"method.name={name} matches places in one sweep: set data.partner=same")
        if name == "sspl" and self.augment.rotate_groups > 0:
            raise ValueError(
                "method.name=sspl cuts a sweep into cubes, in which all must stay: set augment.rotate_groups=0"
            )


def find_recipes(names: Iterable[str]) -> list[Path]:
    """Find recipes by name or path, see find_recipe."""
    return [find_recipe(name) for name in names]


def find_recipe(name: str) -> Path:
    """Find a recipe of pre-training by the path of a TOML file or by the name of one that comes with the program."""
    return find_shipped(RECIPES, name)
