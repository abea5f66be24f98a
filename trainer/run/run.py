"""A run on disk, as everything that reads one opens it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

from iscc_lidar.shared.base import config as configs
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_json
from iscc_lidar.trainer.run.checkpoint import CHECKPOINT_FILE, checkpoint_step
from iscc_lidar.trainer.run.folder import CONFIG_FILE, RECIPE_FILE
from iscc_lidar.trainer.run.metrics import METRICS_FILE, LoggedStep, read_metrics
from iscc_lidar.trainer.run.options import TaskName

T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """The folder of a run, finished or not.

    Attributes:
        folder: where it lies.
        task: what is trained.
        steps: length of the run.
        provenance: what config.json records besides the options: inputs, their digests, versions.
    """

    folder: Path
    task: TaskName
    steps: int
    provenance: Mapping[str, Any]

    @property
    def recipe(self) -> Path:
        """Its options as a TOML file."""
        return self.folder / RECIPE_FILE

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
    provenance: Any = read_json(folder / CONFIG_FILE).get("provenance")
    provenance = provenance if isinstance(provenance, dict) else {}
    task, steps = provenance.get("task"), provenance.get("steps")
    if task not in get_args(TaskName) or not isinstance(steps, int):
        raise UserError(f"{folder / CONFIG_FILE}: does not describe a run of this version; start anew with --overwrite")
    if tasks and task not in tasks:
        raise UserError(f"{folder}: a run of {task}; expected one of {', '.join(tasks)}")
    return Run(folder, cast(TaskName, task), steps, provenance)
