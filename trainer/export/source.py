"""The run that an export takes its weights from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safetensors import safe_open
from torch import Tensor

from iscc_lidar.data_schemas.manifest import Manifest
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_json
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.voxelize import POSITION_SCALE
from iscc_lidar.trainer.evaluation.file import read_evaluation
from iscc_lidar.trainer.model.unet import SparseUNet
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.run.metrics import METRICS_FILE
from iscc_lidar.trainer.run.run_folder import CONFIG_FILE, read_config
from iscc_lidar.trainer.run.weights import ENCODER_FILE, load_weights

Weights = dict[str, Tensor]
"""Tensors of an encoder by the names of its state dict."""

INPUT_SCALE: Final = (*(float(str(s)) for s in POSITION_SCALE), 1.0)
"""What the encoder expects x, y, z and intensity to be multiplied by: float32, in as few digits as name them."""


@dataclass(frozen=True)
class TrainedRun:
    """A run with a checkpoint.

    Attributes:
        path: its folder.
        config: the options that it was made with.
        weights: of the encoder, all finite.
        step: of the checkpoint, config.train.steps when finished.
        provenance: of its config.json: cache and versions.
        data: manifest of its cache, None where that is not at hand.
        metrics: rows of metrics.jsonl up to the checkpoint.
        evaluation: what ``iscc-train evaluate`` left in its folder, empty where it has not run.
    """

    path: Path
    config: PretrainConfig
    weights: Weights
    step: int
    provenance: dict[str, Any]
    data: Manifest | None
    metrics: tuple[dict[str, Any], ...]
    evaluation: dict[str, Any]


def read_run(path: Path, cache: Path | str | None = None) -> TrainedRun:
    """Read a run and what is known about it.

    Args:
        path: folder of the run.
        cache: where its cache lies now; None takes the place that the run remembers, if it is still there.

    Raises:
        UserError: no run, no checkpoint yet, damaged or diverged weights, or another cache than the run's.
    """
    config = read_config(path, PretrainConfig)
    if not (path / ENCODER_FILE).exists():
        raise UserError(f"{path}: no {ENCODER_FILE} yet; go on to a checkpoint with: iscc-train pretrain --resume")
    encoder = SparseUNet(config.model)
    load_weights(path, encoder, ENCODER_FILE)
    weights = encoder.state_dict()
    broken = [name for name, tensor in weights.items() if not bool(tensor.isfinite().all())]
    if broken:
        raise UserError(f"{path / ENCODER_FILE}: {broken[0]} is not finite; the run has diverged, train another one")
    provenance = read_json(path / CONFIG_FILE).get("provenance", {})
    step = _step(path / ENCODER_FILE)
    return TrainedRun(
        path=path,
        config=config,
        weights=weights,
        step=step,
        provenance=provenance,
        data=_manifest(provenance, cache),
        metrics=_metrics(path / METRICS_FILE, step),
        evaluation=read_evaluation(path),
    )


def _step(path: Path) -> int:
    with safe_open(path, framework="pt") as file:
        about = (file.metadata() or {}).get("iscc_lidar", "{}")
    try:
        return int(json.loads(about)["step"])
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: says nothing of its step; it was not written by iscc-train pretrain") from None


def _manifest(provenance: dict[str, Any], cache: Path | str | None) -> Manifest | None:
    try:
        found = Cache(cache or provenance.get("cache", ""))
        if found.digest != provenance.get("cache_manifest_sha256"):
            raise UserError(f"{found.path}: not the cache that the run was trained on (its manifest differs)")
    except UserError as error:
        if cache is not None:
            raise UserError(f"--cache {error}") from None
        return None
    return found.manifest


def _metrics(path: Path, step: int) -> tuple[dict[str, Any], ...]:
    rows: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
            if row["step"] < step:
                rows.append(row)
        except (ValueError, KeyError, TypeError):  # the torn last line of a killed run
            break
    return tuple(rows)
