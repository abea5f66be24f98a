"""What a run has left in its folder: options, where it comes from, figures by step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_json
from iscc_lidar.trainer.evaluation.file import read_evaluation
from iscc_lidar.trainer.pretrain.checkpoint import HEADS_FILE
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.run.metrics import METRICS_FILE
from iscc_lidar.trainer.run.resume_file import RESUME_FILE, saved_step
from iscc_lidar.trainer.run.run_folder import CONFIG_FILE, read_config
from iscc_lidar.trainer.run.weights import ENCODER_FILE

# S logged steps


@dataclass(frozen=True)
class RunRecord:
    """A run as its folder tells it.

    Attributes:
        folder: where it lies; name: that folder's own name.
        config: its options.
        provenance: what config.json says besides the options: cache, its digest, versions.
        step: int64 [S], the logged steps, ascending.
        figures: of each name float64 [S], NaN where a step has no such figure.
        checkpoint_step: steps that the saved networks have seen; None without a checkpoint.
        evaluation: what ``iscc-train evaluate`` left there, empty where it has not run.
        remarks: what is wrong with its files, in sentences.
    """

    folder: Path
    name: str
    config: PretrainConfig
    provenance: Mapping[str, Any]
    step: NDArray[np.int64]
    figures: Mapping[str, NDArray[np.float64]]
    checkpoint_step: int | None
    evaluation: Mapping[str, Any]
    remarks: tuple[str, ...]

    @property
    def steps_done(self) -> int:
        """Steps known to have been made: by the log, or by the checkpoint where that is ahead."""
        logged = int(self.step[-1]) + 1 if len(self.step) else 0
        return max(logged, self.checkpoint_step or 0)

    @property
    def finished(self) -> bool:
        """Whether the last checkpoint is that of the last step."""
        return self.checkpoint_step is not None and self.checkpoint_step >= self.config.train.steps

    def mean(self, name: str, last: bool) -> float:
        """Mean over the first or last tenth of the logged steps (at least one), without gaps; NaN over nothing."""
        values = self.figures.get(name, np.zeros(0))
        count = max(len(values) // 10, 1)
        chosen = values[-count:] if last else values[:count]
        there = chosen[np.isfinite(chosen)]
        return float(there.mean()) if len(there) else float("nan")


def read_run(folder: Path) -> RunRecord:
    """Read a run's folder. Raises UserError where it holds no run, or a damaged one."""
    config = read_config(folder, PretrainConfig)
    content = read_json(folder / CONFIG_FILE) if (folder / CONFIG_FILE).exists() else {}
    rows, remarks = read_metrics(folder / METRICS_FILE)
    missing = [name for name in (ENCODER_FILE, HEADS_FILE, RESUME_FILE) if not (folder / name).exists()]
    if missing:
        remarks += (f"No checkpoint ({', '.join(missing)} missing): nothing can be said about the network itself.",)
    names = dict.fromkeys(name for row in rows for name in row if name != "step")
    return RunRecord(
        folder=folder,
        name=folder.resolve().name,
        config=config,
        provenance=content.get("provenance", {}),
        step=np.array([row["step"] for row in rows], np.int64),
        figures={name: np.array([_number(row.get(name)) for row in rows]) for name in names},
        checkpoint_step=None if missing else saved_step(folder),
        evaluation=read_evaluation(folder),
        remarks=remarks,
    )


def read_metrics(path: Path) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Read the lines of metrics.jsonl, and remarks on what could not be read.

    The torn last line of a run that is going on, or was killed, is left out. Raises UserError for any other.
    """
    if not path.exists():
        return [], (f"No {path.name}: the run has logged nothing yet.",)
    lines = path.read_bytes().decode("utf-8", errors="replace").splitlines()
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            if not isinstance(row["step"], int):
                raise ValueError("step is not a whole number")
            rows.append(row)
        except (ValueError, KeyError, TypeError) as error:
            if number < len(lines):
                raise UserError(
                    f"{path}: line {number} is not a logged step ({error}); delete it, or restore the file"
                ) from None
            return rows, (f"The last line of {path.name} is torn and was left out.",)
    return rows, () if rows else (f"{path.name} is empty: the run has logged nothing yet.",)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else float("nan")
