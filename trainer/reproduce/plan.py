"""From experiments, fractions and seeds to jobs: their commands, folders and dependencies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Literal

from iscc_lidar.shared.base.config import toml_value
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.model.unet import ModelConfig
from iscc_lidar.trainer.pretrain.recipe import find_recipes, resolve_pretrain
from iscc_lidar.trainer.reproduce.config import ReproduceConfig, schedule_name
from iscc_lidar.trainer.reproduce.experiments import ALL, CACHES, LABELLED, STANDARD, Experiment

TaskName = Literal["semseg", "detection"]
"""Task of fine-tuning, by the command's name."""
_FOLDERS: Final = {"semseg": "finetune", "detection": "detect"}
_SCORES: Final = {"semseg": "segmentation.json", "detection": "detection.json"}


@dataclass(frozen=True)
class Caches:
    """Caches and lists of sweeps.

    Attributes:
        train: caches of the training sweeps by name; ``labelled`` is for fine-tuning, by default the standard one.
        test: cache to score on.
        train_list, test_list: lists of the sweeps that may be labelled, and to score; None for all.

    Raises:
        UserError: there is no standard cache, or one with an unknown name.
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
            raise UserError(f"--cache {unknown[0]}=...: no such name; choose from {', '.join(sorted(CACHES))}")

    @property
    def labelled(self) -> Path | str:
        """Cache for fine-tuning."""
        return self.train.get(LABELLED, self.train[STANDARD])


@dataclass(frozen=True)
class Job:
    """One command of ``iscc-train``.

    Attributes:
        name: its folder in OUT.
        arguments: of iscc-train; the command resumes an interrupted run.
        product: the file that it writes last.
        category: jobs of a category take about the same time.
        needs: names of the jobs that must be complete before.
    """

    name: str
    arguments: tuple[str, ...]
    product: Path
    category: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class FineTuning:
    """A fine-tuning run; ``pretraining`` is the seed of its pre-training, None from scratch."""

    task: TaskName
    experiment: Experiment
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
        """Its folder in OUT."""
        run = f"percent{self.percent:g}-seed{self.seed}"
        return f"{_FOLDERS[self.task]}/{self.schedule}/{self.experiment.name}/{run}"


def fine_tunings(config: ReproduceConfig) -> list[FineTuning]:
    """List all fine-tuning runs by seed, so that complete tables with fewer seeds come first."""
    wanted: tuple[tuple[TaskName, tuple[str, ...], tuple[float, ...]], ...] = (
        ("semseg", config.finetune_recipes, config.percents),
        ("detection", config.detection_recipes, config.detection_percents),
    )
    return [
        FineTuning(task, ALL[e], recipe, percent, seed, None if ALL[e].recipes is None else config.pretraining_of(seed))
        for seed in config.seeds
        for task, recipes, percents in wanted
        for recipe in recipes
        for percent in percents
        for e in config.experiments
    ]


def plan(config: ReproduceConfig, caches: Caches, out: Path) -> list[Job]:
    """List all jobs, each after those that it needs. Raises UserError where a cache is missing."""
    jobs: dict[str, Job] = {}
    for run in fine_tunings(config):
        pretraining = _pretrain(run.experiment, run.pretraining, config, caches, out)
        for job in (pretraining, _finetune(run, pretraining, config, caches, out)):
            if job is not None:
                jobs.setdefault(job.name, job)
    return list(jobs.values())


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
        *("pretrain", "--resume", "--cache", str(caches.train[experiment.cache]), "--out", str(out / name)),
        *_repeat("--recipe", (*config.pretrain_recipes, *experiment.recipes)),
        *_repeat("--set", (*config.options_of(experiment.name), f"train.seed={seed}")),
    )
    return Job(name, arguments, out / name / "encoder.safetensors", "pretrain")


def _finetune(run: FineTuning, pretraining: Job | None, config: ReproduceConfig, caches: Caches, out: Path) -> Job:
    options = (
        *_model_options(config),
        *(config.finetune_set if run.task == "semseg" else config.detection_set),
        f"labels.percent={run.percent!r}",
        f"labels.seed={run.seed}",
        f"train.seed={run.seed}",
    )
    arguments = (
        *("finetune", run.task, "--resume", "--train-cache", str(caches.labelled)),
        *("--val-cache", str(caches.test), "--out", str(out / run.name), "--recipe", run.recipe),
        *(("--encoder", str(pretraining.product)) if pretraining else ()),
        *(("--among", str(caches.train_list)) if caches.train_list else ()),
        *(("--val-list", str(caches.test_list)) if caches.test_list else ()),
        *_repeat("--set", options),
    )
    category = f"{run.task}/{run.schedule}/percent{run.percent:g}"
    needs = (pretraining.name,) if pretraining else ()
    return Job(run.name, arguments, out / run.name / _SCORES[run.task], category, needs)


def _model_options(config: ReproduceConfig) -> list[str]:
    """Return options of fine-tuning by which a network from scratch equals the pre-trained one."""
    model = resolve_pretrain(find_recipes(config.pretrain_recipes), config.pretrain_set).model
    values = {field.name: getattr(model, field.name) for field in fields(model)}
    return [f"model.{k}={toml_value(v)}" for k, v in values.items() if v != getattr(ModelConfig(), k)]


def _repeat(flag: str, values: Iterable[str]) -> list[str]:
    return [word for value in values for word in (flag, value)]
