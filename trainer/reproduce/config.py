"""Options of ``iscc-train reproduce``: experiments, label fractions, seeds, and the options of each training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from iscc_lidar.shared.base.config import check_ranges, option
from iscc_lidar.trainer.reproduce.experiments import ALL


def schedule_name(recipe: str) -> str:
    """Return the name of a fine-tuning recipe, which may be a path, for folders and tables."""
    return Path(recipe).stem


@dataclass(frozen=True)
class ReproduceConfig:
    """Options of a reproduction; a preset is a recipe of these."""

    experiments: tuple[str, ...] = option(("scratch", "segcontrast", "iscc"), "rows of the tables, by name")
    percents: tuple[float, ...] = option(
        (1.0, 10.0), "label fractions, percent of the training sweeps", above=0, at_most=100
    )
    seeds: tuple[int, ...] = option(
        (0, 1, 2),
        "a seed determines labels, pre-training and fine-tuning, for all experiments alike",
        at_least=0,
        at_most=10**9,
    )
    pretrainings: int = option(
        0,
        "pre-trainings of an experiment, shared by its seeds alternately; 0: one for each seed",
        at_least=0,
        at_most=10**6,
    )
    pretrain_recipes: tuple[str, ...] = option(("quick",), "recipes of pre-training, under those of an experiment")
    pretrain_set: tuple[str, ...] = option((), "options of pre-training, as section.key=value")
    experiment_set: tuple[str, ...] = option(
        (), "options of one experiment's pre-training, as experiment:section.key=value"
    )
    finetune_recipes: tuple[str, ...] = option(
        ("quick",), "recipes of fine-tuning; each encoder is fine-tuned by each, with tables of its own"
    )
    finetune_set: tuple[str, ...] = option((), "options of fine-tuning, as section.key=value")
    detection_percents: tuple[float, ...] = option(
        (), "label fractions of detection, percent of the sweeps with boxes; none: no detection", above=0, at_most=100
    )
    detection_recipes: tuple[str, ...] = option(("quick",), "recipes of fine-tuning for detection")
    detection_set: tuple[str, ...] = option((), "options of fine-tuning for detection, as section.key=value")
    jobs: int = option(
        0, "parallel trainings, each with its own core or GPU; 0: one for each of these", at_least=0, at_most=1024
    )

    def __post_init__(self) -> None:
        check_ranges(self, "")
        unknown = [name for name in self.experiments if name not in ALL]
        if unknown:
            raise ValueError(f"experiments: no experiment {', '.join(unknown)}; choose from {', '.join(ALL)}")
        wrong = [text for text in self.experiment_set if text.partition(":")[0] not in ALL or "=" not in text]
        if wrong:
            raise ValueError(
                f"experiment_set: expected experiment:section.key=value with an experiment's name, not "
                f"{', '.join(wrong)}"
            )
        if not self.experiments or not self.seeds or not (self.percents or self.detection_percents):
            raise ValueError("experiments, seeds, and percents or detection_percents must each have at least one entry")
        for name in ("finetune_recipes", "detection_recipes"):
            names = [schedule_name(recipe) for recipe in getattr(self, name)]
            if not names or len(set(names)) < len(names):
                raise ValueError(f"{name}: expected at least one and none twice, not {names}")

    def pretraining_of(self, seed: int) -> int:
        """Return the seed of the pre-training from which a seed fine-tunes."""
        return seed % self.pretrainings if self.pretrainings else seed

    def options_of(self, experiment: str) -> list[str]:
        """Return the options of an experiment's pre-training, in order: those of all experiments, then its own."""
        own = [
            setting for name, _, setting in (text.partition(":") for text in self.experiment_set) if name == experiment
        ]
        return [*self.pretrain_set, *own]
