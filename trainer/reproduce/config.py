"""Options of ``iscc-train reproduce``: experiments, label fractions, seeds, and the options of each training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from iscc_lidar.shared.base.config import check_ranges, option
from iscc_lidar.trainer.reproduce.experiments import ALL
from iscc_lidar.trainer.reproduce.streets import FORM, Street, read_streets

ALONE: Final = "alone"
"""The labelled sweeps alone."""
LABELS: Final = (ALONE, "position", "group", "both")
"""What is trained on: the labelled sweeps, or what ``iscc-cache spread`` makes of them by one of its rules."""


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
    label_lists: tuple[str, ...] = option(
        (),
        "lists of labelled sweeps instead of drawn ones, for some of the percents, as PERCENT=PATH, for all seeds",
    )
    streets: tuple[str, ...] = option(
        (),
        f"instead of a training and a test cache: sweeps to learn from and to score, all of cache labelled, as {FORM}",
    )
    counts: tuple[int, ...] = option(
        (1,),
        "with streets, instead of percents: numbers of labelled sweeps for each sequence that is learnt from",
        at_least=1,
        at_most=10**6,
    )
    merge_classes: tuple[str, ...] = option(
        (), "classes that count as others where a street is scored, as STREET: CLASS=CLASS, CLASS=CLASS"
    )
    labels: tuple[str, ...] = option(
        ("alone",),
        "what to fine-tune on, each with tables of its own: the labelled sweeps alone, or their labels spread to other "
        "sweeps by position, group or both; detection takes alone and both",
    )
    average_groups: bool = option(False, "also average predictions with those of groups, with tables of their own")
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
    finetune_set: tuple[str, ...] = option(
        (), "options of fine-tuning, as section.key=value, of one recipe as recipe:section.key=value"
    )
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

        if unknown := [name for name in self.labels if name not in LABELS]:
            raise ValueError(f"labels: expected {', '.join(LABELS)}, not {', '.join(unknown)}")
        if not self.labels or len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels: expected at least one and none twice, not {list(self.labels)}")
        if self.all_streets() and (not self.counts or self.detection_percents or self.label_lists):
            raise ValueError(
                "streets: expected counts with at least one entry, and neither detection_percents nor label_lists"
            )
        unknown = [f"{percent:g}" for percent in self.listed() if percent not in self.percents]
        if unknown:
            raise ValueError(f"label_lists: {', '.join(unknown)}: not among percents")

    def all_streets(self) -> tuple[Street, ...]:
        """Return the streets. Raises ValueError where they cannot be read."""
        return read_streets(self.streets, self.merge_classes)

    def listed(self) -> dict[float, Path]:
        """Return the given lists of labelled sweeps by percent. Raises ValueError where they cannot be read."""
        found: dict[float, Path] = {}
        for text in self.label_lists:
            percent, _, path = text.partition("=")
            try:
                number = float(percent)
            except ValueError:
                number = math.nan
            if not number > 0 or not path or number in found:
                raise ValueError(f"label_lists: expected PERCENT=PATH, each percentage once, not {text}")
            found[number] = Path(path)
        return found

    def finetune_options(self, recipe: str) -> list[str]:
        """Return the options of fine-tuning by a recipe, in order: those of all recipes, then its own."""
        pairs = [_of_one(text) for text in self.finetune_set]
        return [setting for name, setting in pairs if name == ""] + [
            setting for name, setting in pairs if name == schedule_name(recipe)
        ]

    def pretraining_of(self, seed: int) -> int:
        """Return the seed of the pre-training from which a seed fine-tunes."""
        return seed % self.pretrainings if self.pretrainings else seed

    def options_of(self, experiment: str) -> list[str]:
        """Return the options of an experiment's pre-training, in order: those of all experiments, then its own."""
        own = [setting for name, setting in map(_of_one, self.experiment_set) if name == experiment]
        return [*self.pretrain_set, *own]


def _of_one(text: str) -> tuple[str, str]:
    """Split ``name:section.key=value``; the name is empty where there is none."""
    name, colon, setting = text.partition(":")
    return (name, setting) if colon and "=" not in name else ("", text)
