"""Options of fine-tuning for detection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from iscc_lidar.shared.base.config import check_ranges, option, section
from iscc_lidar.trainer.evaluation.detection.kitti_ap import CLASSES
from iscc_lidar.trainer.finetune.config import FinetuneTrainConfig, check_inputs
from iscc_lidar.trainer.finetune.detection.augment import BoxAugmentConfig
from iscc_lidar.trainer.finetune.detection.decode import DecodeConfig
from iscc_lidar.trainer.finetune.detection.grid import GridConfig
from iscc_lidar.trainer.finetune.detection.loss import BoxLossConfig
from iscc_lidar.trainer.finetune.detection.network import BoxHeadConfig
from iscc_lidar.trainer.finetune.detection.paste import PasteConfig
from iscc_lidar.trainer.finetune.labels import LabelConfig
from iscc_lidar.trainer.model.unet import ModelConfig

RECIPES: Final = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class ClassesConfig:
    """Classes of boxes."""

    names: tuple[str, ...] = option(("Car", "Pedestrian", "Cyclist"), "classes to detect, by the dataset's names")
    ignored: tuple[str, ...] = option(
        tuple(rule.neighbour for rule in CLASSES if rule.neighbour),
        "classes so similar that a detection there is neither right nor wrong",
    )
    min_points: int = option(
        1, "boxes with fewer points are ignored in training, with the cells inside them", at_least=0
    )

    def __post_init__(self) -> None:
        check_ranges(self, "classes")
        if not self.names or "" in self.names or len({*self.names, *self.ignored}) < len(self.names + self.ignored):
            raise ValueError("classes.names must have a class, and none may be twice in classes.names and .ignored")


@dataclass(frozen=True)
class DetectionConfig:
    """Configuration of ``iscc-train finetune detection``. With ``--encoder``, ``model`` is that of its weights."""

    model: ModelConfig = section(ModelConfig)
    labels: LabelConfig = section(LabelConfig)
    classes: ClassesConfig = section(ClassesConfig)
    grid: GridConfig = section(GridConfig)
    head: BoxHeadConfig = section(BoxHeadConfig)
    augment: BoxAugmentConfig = section(BoxAugmentConfig)
    paste: PasteConfig = section(PasteConfig)
    loss: BoxLossConfig = section(BoxLossConfig)
    decode: DecodeConfig = section(DecodeConfig)
    train: FinetuneTrainConfig = section(FinetuneTrainConfig)

    def __post_init__(self) -> None:
        check_inputs(self.model)
        if len(self.paste.fill_to) != len(self.classes.names):
            raise ValueError(
                f"paste.fill_to has {len(self.paste.fill_to)} values for the {len(self.classes.names)} classes in "
                f"classes.names; set both, as in paste.fill_to={[10] * len(self.classes.names)}"
            )
