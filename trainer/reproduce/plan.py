"""From experiments, fractions and seeds to jobs: their commands, folders and dependencies."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Literal

from iscc_lidar.shared.base.config import find_shipped, resolve, toml_value
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.finetune.labels import LabelConfig
from iscc_lidar.trainer.finetune.semseg import config as semseg
from iscc_lidar.trainer.model.unet import ModelConfig
from iscc_lidar.trainer.pretrain.recipe import find_recipes, resolve_pretrain
from iscc_lidar.trainer.reproduce.config import ALONE, ReproduceConfig, schedule_name
from iscc_lidar.trainer.reproduce.experiments import ALL, CACHES, LABELLED, STANDARD, Experiment
from iscc_lidar.trainer.reproduce.streets import Part, file_name, list_file, scored_with

TaskName = Literal["semseg", "detection"]
"""Task of fine-tuning, by the command's name."""
_FOLDERS: Final = {"semseg": "finetune", "detection": "detect"}
_SCORES: Final = {"semseg": "segmentation.json", "detection": "detection.json"}
_CARRY_BOXES: Final = (ALONE, "both")
"""The ways of labelling that give boxes."""


@dataclass(frozen=True)
class Caches:
    """Caches and lists of sweeps.

    Attributes:
        train: caches of the training sweeps by name; ``labelled`` is for fine-tuning, by default the standard one. What
            is pre-trained on may be in several.
        test: cache to score on; None with streets, which are all in the cache for fine-tuning.
        train_list, test_list: lists of the sweeps that may be labelled, and to score; None for all.

    Raises:
        UserError: there is no standard cache, one with an unknown name, or several to fine-tune on.
    """

    train: Mapping[str, Sequence[Path | str]]
    test: Path | str | None
    train_list: Path | None = None
    test_list: Path | None = None

    def __post_init__(self) -> None:
        if STANDARD not in self.train:
            raise UserError(f"the training sweeps' cache is missing: give it as --cache {STANDARD}=PATH")
        unknown = sorted(self.train.keys() - CACHES)
        if unknown:
            raise UserError(f"--cache {unknown[0]}=...: no such name; choose from {', '.join(sorted(CACHES))}")
        if len(self.train.get(LABELLED, self.train[STANDARD])) > 1:
            raise UserError(f"labels are of one cache: give it as --cache {LABELLED}=PATH")

    @property
    def labelled(self) -> Path | str:
        """Cache for fine-tuning."""
        return self.train.get(LABELLED, self.train[STANDARD])[0]

    @property
    def scored(self) -> Path | str:
        """Cache to score on."""
        return self.labelled if self.test is None else self.test


@dataclass(frozen=True)
class Job:
    """One command.

    Attributes:
        name: its folder in OUT.
        arguments: of the program; the command resumes an interrupted run.
        product: the file that it writes last.
        category: jobs of a category take about the same time.
        needs: names of the jobs that must be complete before.
        program: that runs it.
    """

    name: str
    arguments: tuple[str, ...]
    product: Path
    category: str
    needs: tuple[str, ...] = ()
    program: Literal["iscc-train", "iscc-cache"] = "iscc-train"


@dataclass(frozen=True)
class Draw:
    """Sweeps whose labels are used.

    Attributes:
        amount: percent of the training sweeps; with ``learn`` the number of sweeps for each of its parts.
        seed: another one draws others.
        learn: sweeps to draw from; None for all of the cache.
        listed: list of the sweeps; None to draw them.
    """

    amount: float
    seed: int
    learn: tuple[Part, ...] | None = None
    listed: Path | None = None

    @property
    def config(self) -> LabelConfig:
        """Section ``labels`` of fine-tuning by which it is drawn."""
        if self.listed is not None:
            return LabelConfig(seed=self.seed)
        if self.learn is None:
            return LabelConfig(percent=self.amount, seed=self.seed)
        return LabelConfig(sweeps=int(self.amount) * len(self.learn), seed=self.seed)

    @property
    def options(self) -> tuple[str, str]:
        """The same as options of a command."""
        amount = f"percent={self.config.percent!r}" if self.learn is None else f"sweeps={self.config.sweeps}"
        return f"labels.{amount}", f"labels.seed={self.seed}"

    @property
    def name(self) -> str:
        """Its folder in others."""
        run = f"{'percent' if self.learn is None else 'sweeps'}{self.amount:g}-seed{self.seed}"
        return run if self.learn is None else f"{file_name(self.learn)}/{run}"


@dataclass(frozen=True)
class FineTuning:
    """A fine-tuning run; ``pretraining`` is the seed of its pre-training, None from scratch."""

    task: TaskName
    experiment: Experiment
    recipe: str
    draw: Draw
    pretraining: int | None
    labels: str = ALONE

    @property
    def schedule(self) -> str:
        """Name of its recipe."""
        return schedule_name(self.recipe)

    @property
    def name(self) -> str:
        """Its folder in OUT."""
        labels = "" if self.labels == ALONE else f"{self.labels}/"
        return f"{_FOLDERS[self.task]}/{labels}{self.schedule}/{self.experiment.name}/{self.draw.name}"


def draws(config: ReproduceConfig, seed: int) -> list[Draw]:
    """List what is labelled for segmentation by a seed."""
    streets = config.all_streets()
    if not streets:
        listed = config.listed()
        return [Draw(percent, seed, listed=listed.get(percent)) for percent in config.percents]
    learns = dict.fromkeys(street.learn for street in streets)
    return [Draw(count, seed, learn) for count in config.counts for learn in learns]


def box_draws(config: ReproduceConfig, seed: int) -> list[Draw]:
    """List what is labelled for detection by a seed."""
    return [Draw(percent, seed) for percent in config.detection_percents]


def fine_tunings(config: ReproduceConfig) -> list[FineTuning]:
    """List all fine-tuning runs by seed, so that complete tables with fewer seeds come first."""
    found = []
    scratch = any(ALL[name].recipes is None for name in config.experiments)
    probes = {recipe for recipe in config.finetune_recipes if scratch and is_probe(config, recipe)}
    for seed in config.seeds:
        wanted: list[tuple[TaskName, tuple[str, ...], list[Draw], tuple[str, ...]]] = [
            ("semseg", config.finetune_recipes, draws(config, seed), config.labels),
            (
                "detection",
                config.detection_recipes,
                box_draws(config, seed),
                tuple(k for k in config.labels if k in _CARRY_BOXES),
            ),
        ]
        for task, recipes, drawn, labels in wanted:
            for recipe, draw, kind, name in itertools.product(recipes, drawn, labels, config.experiments):
                start = None if ALL[name].recipes is None else config.pretraining_of(seed)
                if start is not None or not (task == "semseg" and recipe in probes):
                    found.append(FineTuning(task, ALL[name], recipe, draw, start, kind))
    return found


def is_probe(config: ReproduceConfig, recipe: str) -> bool:
    """Return whether a recipe trains new layers alone, for which there must be pre-trained ones."""
    base = find_shipped(semseg.RECIPES, recipe)
    return resolve(semseg.SemsegConfig, base, config.finetune_options(recipe)).train.freeze_fraction == 1


def plan(config: ReproduceConfig, caches: Caches, out: Path) -> list[Job]:
    """List all jobs, each after those that it needs. Raises UserError where a cache is missing."""
    jobs: dict[str, Job] = {}
    for run in fine_tunings(config):
        pretraining = _pretrain(run.experiment, run.pretraining, config, caches, out)
        spread = None if run.labels == ALONE else _spread(run, caches, out)
        for job in (pretraining, spread, _finetune(run, pretraining, spread, config, caches, out)):
            if job is not None:
                jobs.setdefault(job.name, job)
    return list(jobs.values())


def draw_file(task: TaskName, draw: Draw, out: Path) -> Path:
    """Return the file of the list of the sweeps that are drawn, for spreading."""
    return out / "lists" / f"{_by_task(task, draw)}.txt"


def _by_task(task: TaskName, draw: Draw) -> str:
    """Return the folder of a draw in those of lists and spread labels; sweeps are drawn among those with boxes, too."""
    return draw.name if task == "semseg" else f"{_FOLDERS[task]}/{draw.name}"


def _pretrain(
    experiment: Experiment, seed: int | None, config: ReproduceConfig, caches: Caches, out: Path
) -> Job | None:
    if experiment.recipes is None:
        return None
    if experiment.cache not in caches.train:
        raise UserError(
            f"experiment {experiment.name} needs a cache with other groups: give it as --cache {experiment.cache}=PATH"
        )
    name = f"pretrain/{experiment.name}/seed{seed}"
    arguments = (
        *("pretrain", "--resume", *_repeat("--cache", map(str, caches.train[experiment.cache]))),
        *("--out", str(out / name)),
        *_repeat("--recipe", (*config.pretrain_recipes, *experiment.recipes)),
        *_repeat("--set", (*config.options_of(experiment.name), f"train.seed={seed}")),
    )
    return Job(name, arguments, out / name / "encoder.safetensors", "pretrain")


def _spread(run: FineTuning, caches: Caches, out: Path) -> Job:
    name = f"spread/{run.labels}/{_by_task(run.task, run.draw)}"
    given = (str(caches.labelled), str(out / name), "--labelled", str(draw_file(run.task, run.draw, out)))
    arguments = ("spread", *given, "--workers", "0", "--set", f"rule={run.labels}")
    return Job(name, arguments, out / name / "spread.json", "spread", program="iscc-cache")


def _finetune(
    run: FineTuning, pretraining: Job | None, spread: Job | None, config: ReproduceConfig, caches: Caches, out: Path
) -> Job:
    options = (
        *_model_options(config),
        *(config.finetune_options(run.recipe) if run.task == "semseg" else config.detection_set),
        *(run.draw.options if run.labels == ALONE else ()),  # of what is spread the labelled sweeps are known
        f"train.seed={run.draw.seed}",
    )
    among, scored = caches.train_list, caches.test_list
    if run.draw.learn is not None:
        among = list_file(out, run.draw.learn)
        scored = list_file(out, scored_with(run.draw.learn, config.all_streets()))
    arguments = (
        *("finetune", run.task, "--resume", "--train-cache", str(caches.labelled)),
        *("--val-cache", str(caches.scored), "--out", str(out / run.name), "--recipe", run.recipe),
        *(("--encoder", str(pretraining.product)) if pretraining else ()),
        *(("--spread", str(spread.product.parent)) if spread else ()),
        *(("--labelled", str(run.draw.listed)) if run.draw.listed and run.labels == ALONE else ()),
        *(("--among", str(among)) if among else ()),
        *(("--val-list", str(scored)) if scored else ()),
        *(("--average-groups",) if config.average_groups and run.task == "semseg" else ()),
        *_repeat("--set", options),
    )
    category = f"{run.task}/{run.schedule}/{run.draw.name.partition('-seed')[0]}"
    needs = tuple(job.name for job in (pretraining, spread) if job is not None)
    return Job(run.name, arguments, out / run.name / _SCORES[run.task], category, needs)


def _model_options(config: ReproduceConfig) -> list[str]:
    """Return options of fine-tuning by which a network from scratch equals the pre-trained one."""
    model = resolve_pretrain(find_recipes(config.pretrain_recipes), config.pretrain_set).model
    values = {field.name: getattr(model, field.name) for field in fields(model)}
    return [f"model.{k}={toml_value(v)}" for k, v in values.items() if v != getattr(ModelConfig(), k)]


def _repeat(flag: str, values: Iterable[str]) -> list[str]:
    return [word for value in values for word in (flag, value)]
