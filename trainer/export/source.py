"""Read the run whose weights are exported."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from iscc_lidar.data_schemas.manifest import MANIFEST_FILE, Manifest
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.voxelize import POSITION_SCALE
from iscc_lidar.trainer.evaluation.results import read_evaluation
from iscc_lidar.trainer.finetune.tasks import read_encoder, read_options
from iscc_lidar.trainer.run.metrics import LoggedStep
from iscc_lidar.trainer.run.run import Run, open_run

Weights = dict[str, Tensor]
"""Tensors of an encoder by the names of its state dict."""

INPUT_SCALE: Final = (*(float(str(s)) for s in POSITION_SCALE), 1.0)
"""Factors of x, y, z and intensity before the encoder: float32, in the fewest digits that identify them."""


@dataclass(frozen=True)
class TrainedRun:
    """A run with a checkpoint.

    Attributes:
        run: its folder.
        config: its options.
        weights: of the encoder, all finite.
        step: of the checkpoint, run.steps when finished.
        data: manifest of its cache, None if the cache was not found.
        metrics: logged steps up to the checkpoint.
        evaluation: figures of ``iscc-train evaluate`` in its folder, empty without.
    """

    run: Run
    config: Any
    weights: Weights
    step: int
    data: Manifest | None
    metrics: tuple[LoggedStep, ...]
    evaluation: dict[str, Any]


def read_run(path: Path, cache: Path | str | None = None) -> TrainedRun:
    """Read a run, its metrics and figures.

    Args:
        path: folder of the run.
        cache: where its cache is now; None takes the recorded place, if the cache is still there.

    Raises:
        UserError: no run, no checkpoint yet, damaged or diverged weights, or another cache than the run's.
    """
    run = open_run(path)
    config = read_options(run)
    weights, step = read_encoder(run, config)
    return TrainedRun(
        run=run,
        config=config,
        weights=weights,
        step=step,
        data=_manifest(run, cache),
        metrics=tuple(row for row in run.metrics()[0] if row.step < step),
        evaluation=read_evaluation(path),
    )


def _manifest(run: Run, cache: Path | str | None) -> Manifest | None:
    where = run.recorded_cache if cache is None else cache
    if where is None or (cache is None and not os.path.isfile(Path(where) / MANIFEST_FILE)):
        return None
    try:
        found = Cache(where)
        if found.digest != run.provenance.get("cache_manifest_sha256"):
            raise UserError(f"{found.path}: not the cache that the run was trained on (its manifest differs)")
    except UserError as error:
        if cache is not None:
            raise UserError(f"--cache {error}") from None
        return None
    return found.manifest
