"""Options of ``iscc-train reproduce``: which rows, fractions and seeds, and how long each part is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from iscc_lidar.shared.base.config import option
from iscc_lidar.trainer.reproduce.rows import ALL


def schedule_name(recipe: str) -> str:
    """Name of a fine-tuning recipe, which may be a path, in folders and tables."""
    return Path(recipe).stem


@dataclass(frozen=True)
class ReproduceConfig:
    """What is run; a preset is a recipe of these."""

    rows: tuple[str, ...] = option(("scratch", "segcontrast", "iscc"), "rows of the tables, by name")
    percents: tuple[float, ...] = option((1.0, 10.0), "label fractions, percent of the training sweeps")
    seeds: tuple[int, ...] = option((0, 1, 2), "a seed draws labels, pre-training and fine-tuning alike for all rows")
    pretrainings: int = option(0, "pre-trainings of a row, which its seeds take by turns; 0 one for each seed")
    pretrain_recipes: tuple[str, ...] = option(("quick",), "recipes of pre-training, under those of a row")
    pretrain_set: tuple[str, ...] = option((), "options of pre-training, as section.key=value")
    row_set: tuple[str, ...] = option((), "options of one row's pre-training, as row:section.key=value")
    finetune_recipes: tuple[str, ...] = option(
        ("quick",), "recipes of fine-tuning: each encoder is fine-tuned by each, and each has tables of its own"
    )
    finetune_set: tuple[str, ...] = option((), "options of fine-tuning, as section.key=value")
    detection_percents: tuple[float, ...] = option(
        (), "label fractions of detection, percent of the sweeps with boxes; none: no detection"
    )
    detection_recipes: tuple[str, ...] = option(("quick",), "recipes of fine-tuning for detection")
    detection_set: tuple[str, ...] = option((), "options of fine-tuning for detection, as section.key=value")
    jobs: int = option(0, "trainings at a time, each with a core or a GPU of its own; 0 one for each that there is")

    def __post_init__(self) -> None:
        unknown = [row for row in self.rows if row not in ALL]
        if unknown:
            raise ValueError(f"rows: no row {', '.join(unknown)}; there are {', '.join(ALL)}")
        strangers = [text for text in self.row_set if text.partition(":")[0] not in ALL or "=" not in text]
        if strangers:
            raise ValueError(f"row_set: expected row:section.key=value with a row's name, not {', '.join(strangers)}")
        if not self.rows or not self.seeds or not (self.percents or self.detection_percents):
            raise ValueError("rows, seeds, and percents or detection_percents must each name one at least")
        if self.pretrainings < 0:
            raise ValueError(f"pretrainings must be 0 or more, not {self.pretrainings}")
        for name in ("percents", "detection_percents"):
            if any(not 0 < percent <= 100 for percent in getattr(self, name)):
                raise ValueError(f"{name} must lie above 0 and up to 100, not {list(getattr(self, name))}")
        for name in ("finetune_recipes", "detection_recipes"):
            names = [schedule_name(recipe) for recipe in getattr(self, name)]
            if not names or len(set(names)) < len(names):
                raise ValueError(f"{name}: give one at least, and none twice, not {names}")

    def pretraining_of(self, seed: int) -> int:
        """Seed of the pre-training that a seed fine-tunes."""
        return seed % self.pretrainings if self.pretrainings else seed

    def options_of(self, row: str) -> list[str]:
        """Options of a row's pre-training, in order: those of all rows, then its own."""
        own = [setting for name, _, setting in (text.partition(":") for text in self.row_set) if name == row]
        return [*self.pretrain_set, *own]
