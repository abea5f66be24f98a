"""A run on disk, as everything that reads one opens it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, cast, get_args

from iscc_lidar.shared.base import config as configs
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_json
from iscc_lidar.trainer.run.checkpoint import CHECKPOINT_FILE, checkpoint_step
from iscc_lidar.trainer.run.folder import CONFIG_FILE, RECIPE_FILE
from iscc_lidar.trainer.run.metrics import METRICS_FILE, MOST_STEPS, LoggedStep, read_metrics
from iscc_lidar.trainer.run.options import TaskName

T = TypeVar("T")

_TEXTS: Final = (
    *("cache", "cache_manifest_sha256", "dataset", "encoder", "encoder_sha256"),
    *("list of labelled sweeps", "labelled_sha256", "spread labels", "spread_sha256"),
)
"""What config.json records as text."""


@dataclass(frozen=True)
class Run:
    """The folder of a run, finished or not.

    Attributes:
        folder: where it lies.
        task: what is trained.
        steps: length of the run.
        provenance: what config.json records besides the options, as text to show: inputs, their digests, versions.
    """

    folder: Path
    task: TaskName
    steps: int
    provenance: Mapping[str, Any]

    @property
    def recipe(self) -> Path:
        """Its options as a TOML file."""
        return self.folder / RECIPE_FILE

    @property
    def recorded_cache(self) -> Path | None:
        """Where its cache was, as a path on this machine; None where that is not recorded, or a URL.

        Whoever made the folder chose it: a URL could make this program run code, or load something.
        """
        path = str(self.provenance.get("cache", ""))
        return None if not path or "://" in path or "::" in path or not path.isprintable() else Path(path)

    @property
    def caches(self) -> list[str]:
        """Where its caches were, in their order, as it is recorded; none where it is not."""
        names = itertools.chain(["cache"], (f"cache_{number}" for number in itertools.count(2)))
        return [str(self.provenance[name]) for name in itertools.takewhile(self.provenance.__contains__, names)]

    def config(self, kind: type[T]) -> T:
        """Read its options. Raises UserError where they are not those of ``kind``."""
        return configs.resolve(kind, self.recipe)

    def metrics(self) -> tuple[list[LoggedStep], bool]:
        """Read its log, see read_metrics."""
        return read_metrics(self.folder / METRICS_FILE)

    def checkpoint_step(self) -> int | None:
        """Return the number of steps of its checkpoint; None without one. Raises UserError where it is damaged."""
        return checkpoint_step(self.folder) if (self.folder / CHECKPOINT_FILE).exists() else None


def open_run(folder: Path, *tasks: TaskName) -> Run:
    """Open a run of one of some tasks, by default of any. Raises UserError where there is none."""
    if not (folder / RECIPE_FILE).exists() or not (folder / CONFIG_FILE).exists():
        raise UserError(
            f"{folder}: no run here ({CONFIG_FILE} or {RECIPE_FILE} is missing); make one with: iscc-train pretrain"
        )
    try:
        task, steps, provenance = _described(read_json(folder / CONFIG_FILE).get("provenance"))
    except ValueError as error:
        raise UserError(
            f"{folder / CONFIG_FILE}: does not describe a run of this version ({error}); start anew with --overwrite"
        ) from None
    if tasks and task not in tasks:
        raise UserError(f"{folder}: a run of {task}; expected one of {', '.join(tasks)}")
    return Run(folder, task, steps, provenance)


def _described(found: Any) -> tuple[TaskName, int, dict[str, Any]]:
    """Check what config.json records besides the options: task, steps, and the rest. Raises ValueError."""
    if not isinstance(found, dict):
        raise ValueError("it has no provenance")
    task, steps = found.get("task"), found.get("steps")
    if task not in get_args(TaskName):
        raise ValueError(f"its task is {task!r:.80}")
    if type(steps) is not int or not 0 < steps <= MOST_STEPS:
        raise ValueError(f"its number of steps is {steps!r:.80}")
    for name in _TEXTS:
        if not isinstance(found.get(name, ""), str):
            raise ValueError(f"{name} is {found[name]!r:.80}, expected text")
    versions, classes = found.get("versions", {}), found.get("class_names", [])
    if not isinstance(versions, dict) or not all(isinstance(version, str) for version in versions.values()):
        raise ValueError(f"versions is {versions!r:.80}, expected texts by name")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ValueError(f"class_names is {classes!r:.80}, expected a list of names")
    return cast(TaskName, task), steps, found
