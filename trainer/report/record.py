"""A run as the report shows it: its options and its logged figures as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.trainer.evaluation.results import read_evaluation
from iscc_lidar.trainer.finetune.tasks import read_options, title_of, weight_file
from iscc_lidar.trainer.run.checkpoint import CHECKPOINT_FILE
from iscc_lidar.trainer.run.metrics import METRICS_FILE, LoggedStep
from iscc_lidar.trainer.run.run import Run, open_run

# S logged steps


@dataclass(frozen=True)
class RunRecord:
    """A run as its folder records it.

    Attributes:
        run: where it lies, what it trains.
        config: its options.
        step: int64 [S], the logged steps, ascending.
        figures: of each name float64 [S], NaN where a step has no such figure.
        checkpoint_step: steps that the saved networks have seen; None without a checkpoint.
        evaluation: what ``iscc-train evaluate`` wrote there, empty where it has not run.
        remarks: what is wrong with its files, in sentences.
    """

    run: Run
    config: Any
    step: NDArray[np.int64]
    figures: Mapping[str, NDArray[np.float64]]
    checkpoint_step: int | None
    evaluation: Mapping[str, Any]
    remarks: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its folder's own name."""
        return self.run.folder.resolve().name

    @property
    def title(self) -> str:
        """What was done, as in "pre-trained by ISCC"."""
        return title_of(self.run, self.config)

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What config.json records besides the options: cache, its digest, versions."""
        return self.run.provenance

    @property
    def steps_done(self) -> int:
        """Steps known to have been made: by the log, or by the checkpoint where that is ahead."""
        logged = int(self.step[-1]) + 1 if len(self.step) else 0
        return max(logged, self.checkpoint_step or 0)

    @property
    def finished(self) -> bool:
        """Whether the last checkpoint is that of the last step."""
        return self.checkpoint_step is not None and self.checkpoint_step >= self.run.steps

    def mean(self, name: str, last: bool) -> float:
        """Return the mean over the first or last tenth of the logged steps (at least one), without gaps.

        NaN over nothing.
        """
        values = self.figures.get(name, np.zeros(0))
        count = max(len(values) // 10, 1)
        chosen = values[-count:] if last else values[:count]
        there = chosen[np.isfinite(chosen)]
        return float(there.mean()) if len(there) else float("nan")


def read_record(folder: Path) -> RunRecord:
    """Read a run's folder. Raises UserError where it holds no run, or a damaged one."""
    run = open_run(folder)
    rows, torn = run.metrics()
    missing = [name for name in (weight_file(run), CHECKPOINT_FILE) if not (folder / name).exists()]
    remarks = _remarks(folder, rows, torn)
    if missing:
        remarks += (f"No checkpoint ({', '.join(missing)} missing): nothing is known about the network itself.",)
    names = dict.fromkeys(name for row in rows for name in row.figures)
    return RunRecord(
        run=run,
        config=read_options(run),
        step=np.array([row.step for row in rows], np.int64),
        figures={name: np.array([row.figures.get(name) for row in rows], np.float64) for name in names},
        checkpoint_step=None if missing else run.checkpoint_step(),
        evaluation=read_evaluation(folder),
        remarks=remarks,
    )


def _remarks(folder: Path, rows: list[LoggedStep], torn: bool) -> tuple[str, ...]:
    if torn:
        return (f"The last line of {METRICS_FILE} is torn and was left out.",)
    if rows:
        return ()
    state = f"{METRICS_FILE} is empty" if (folder / METRICS_FILE).exists() else f"No {METRICS_FILE}"
    return (f"{state}: the run has logged nothing yet.",)
