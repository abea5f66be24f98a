"""From rows, fractions and seeds to jobs: which commands are run, in which folders, and what waits for what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Literal

from iscc_lidar.shared.base.config import toml_value
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.model.unet import ModelConfig
from iscc_lidar.trainer.pretrain.recipe import find_recipes, resolve_pretrain
from iscc_lidar.trainer.reproduce.config import ReproduceConfig, schedule_name
from iscc_lidar.trainer.reproduce.rows import ALL, CACHES, LABELLED, STANDARD, Row

TaskName = Literal["semseg", "detection"]
"""What is fine-tuned for, by the command's name."""
_SCORES: Final = {"semseg": "segmentation.json", "detection": "detection.json"}


@dataclass(frozen=True)
class Caches:
    """Where the data is.

    Attributes:
        train: caches of the training sweeps by how they are grouped; one named labelled is fine-tuned on, without
            it the standard one.
        test: cache that scores.
        train_list, test_list: lists of the sweeps that may be labelled, and that are scored; None for all.

    Raises:
        UserError: there is no standard cache, or one of a name that nothing reads.
    """

    train: Mapping[str, Path | str]
    test: Path | str
    train_list: Path | None = None
    test_list: Path | None = None

    def __post_init__(self) -> None:
        if STANDARD not in self.train:
            raise UserError(f"the training sweeps' cache is missing: give it as --cache {STANDARD}=PATH")
        unknown = sorted(self.train.keys() - CACHES)
        if unknown:
            raise UserError(f"--cache {unknown[0]}=...: no such name; there are {', '.join(sorted(CACHES))}")

    @property
    def labelled(self) -> Path | str:
        """The cache that is fine-tuned on."""
        return self.train.get(LABELLED, self.train[STANDARD])


@dataclass(frozen=True)
class Job:
    """One command of ``iscc-train``.

    Attributes:
        name: its folder below OUT.
        arguments: of iscc-train; it goes on where it was interrupted.
        product: the file that it writes last.
        kind: jobs of a kind take about as long as each other.
        needs: names of the jobs that must be done before.
    """

    name: str
    arguments: tuple[str, ...]
    product: Path
    kind: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tuning:
    """A fine-tuning run: a row at a label fraction and seed, for a task by a recipe.

    Attributes:
        pretraining: seed of what it goes on from; None from scratch.
    """

    task: TaskName
    row: Row
    recipe: str
    percent: float
    seed: int
    pretraining: int | None

    @property
    def schedule(self) -> str:
        """Name of its recipe."""
        return schedule_name(self.recipe)

    @property
    def name(self) -> str:
        """Its folder below OUT."""
        folder = {"semseg": "finetune", "detection": "detect"}[self.task]
        return f"{folder}/{self.schedule}/{self.row.name}/percent{self.percent:g}-seed{self.seed}"


def tunings(config: ReproduceConfig) -> list[Tuning]:
    """All fine-tuning runs, the tables' order: by seed, so that whole tables with fewer seeds come first."""
    asked: tuple[tuple[TaskName, tuple[str, ...], tuple[float, ...]], ...] = (
        ("semseg", config.finetune_recipes, config.percents),
        ("detection", config.detection_recipes, config.detection_percents),
    )
    return [
        Tuning(task, ALL[row], recipe, percent, seed, None if ALL[row].recipes is None else config.pretraining_of(seed))
        for seed in config.seeds
        for task, recipes, percents in asked
        for recipe in recipes
        for percent in percents
        for row in config.rows
    ]


def plan(config: ReproduceConfig, caches: Caches, out: Path) -> list[Job]:
    """All jobs; each comes after those that it needs. Raises UserError where a cache is not given."""
    jobs: dict[str, Job] = {}
    for tuning in tunings(config):
        pretraining = None
        if tuning.pretraining is not None:
            pretraining = _pretrain(tuning.row, tuning.pretraining, config, caches, out)
            jobs.setdefault(pretraining.name, pretraining)
        job = _finetune(tuning, pretraining, config, caches, out)
        jobs[job.name] = job
    return list(jobs.values())


def _pretrain(row: Row, seed: int, config: ReproduceConfig, caches: Caches, out: Path) -> Job:
    assert row.recipes is not None
    if row.cache not in caches.train:
        raise UserError(
            f"row {row.name} learns from sweeps that are grouped otherwise: give that cache as --cache {row.cache}=PATH"
        )
    name = f"pretrain/{row.name}/seed{seed}"
    arguments = (
        *("pretrain", "--resume", "--cache", str(caches.train[row.cache]), "--out", str(out / name)),
        *_each("--recipe", (*config.pretrain_recipes, *row.recipes)),
        *_each("--set", (*config.options_of(row.name), f"train.seed={seed}")),
    )
    return Job(name, arguments, out / name / "encoder.safetensors", "pretrain")


def _finetune(tuning: Tuning, pretraining: Job | None, config: ReproduceConfig, caches: Caches, out: Path) -> Job:
    options = (
        *_network(config),
        *(config.finetune_set if tuning.task == "semseg" else config.detection_set),
        f"labels.percent={tuning.percent!r}",
        f"labels.seed={tuning.seed}",
        f"train.seed={tuning.seed}",
    )
    arguments = (
        *("finetune", tuning.task, "--resume", "--train-cache", str(caches.labelled)),
        *("--val-cache", str(caches.test), "--out", str(out / tuning.name), "--recipe", tuning.recipe),
        *(("--encoder", str(pretraining.product)) if pretraining else ()),
        *(("--among", str(caches.train_list)) if caches.train_list else ()),
        *(("--val-list", str(caches.test_list)) if caches.test_list else ()),
        *_each("--set", options),
    )
    needs = (pretraining.name,) if pretraining else ()
    kind = f"{tuning.task}/{tuning.schedule}/percent{tuning.percent:g}"
    return Job(tuning.name, arguments, out / tuning.name / _SCORES[tuning.task], kind, needs)


def _network(config: ReproduceConfig) -> list[str]:
    """Options of fine-tuning that make the network from scratch the one that is pre-trained."""
    model = resolve_pretrain(find_recipes(config.pretrain_recipes), config.pretrain_set).model
    values = {field.name: getattr(model, field.name) for field in fields(model)}
    return [f"model.{k}={toml_value(v)}" for k, v in values.items() if v != getattr(ModelConfig(), k)]


def _each(flag: str, values: Sequence[str]) -> list[str]:
    return [word for value in values for word in (flag, value)]
