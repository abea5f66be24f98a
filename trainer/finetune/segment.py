"""Segment the sweeps of a cache with a fine-tuned network, and score every original point."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from iscc_lidar.shared import files
from iscc_lidar.shared.cache_reader import Cache, read_json
from iscc_lidar.shared.errors import UserError
from iscc_lidar.trainer.evaluation.scores import count_confusion, score
from iscc_lidar.trainer.finetune.checkpoint import NETWORK_FILE
from iscc_lidar.trainer.finetune.config import FinetuneConfig
from iscc_lidar.trainer.finetune.labels import listed_places
from iscc_lidar.trainer.finetune.network import SegmentationNetwork
from iscc_lidar.trainer.finetune.predict import predict_all
from iscc_lidar.trainer.finetune.samples import semantic
from iscc_lidar.trainer.hardware.compute import choose_compute
from iscc_lidar.trainer.run.run_folder import CONFIG_FILE, read_config
from iscc_lidar.trainer.run.weights import load_weights

SCORE_FILE: Final = "segmentation.json"


def score_run(run: Path, cache_path: Path, listed: Path | None = None) -> dict[str, Any]:
    """Score a fine-tuned run on a cache, or on the sweeps of a list; writes ``run/segmentation.json``.

    Returns what is in that file: mIoU by the data set's rule, IoU of each class, the confusion matrix.
    """
    cache = Cache(cache_path)
    names = cache.manifest.class_names
    network, config, device = load_network(run, names)
    counts = np.zeros((len(names), len(names)), np.int64)
    places = listed_places(cache, listed)
    for sweep, predicted in predict_all(network, cache, places, config.model.voxel_size, device):
        counts += count_confusion(semantic(sweep), predicted, len(names))
    found = asdict(score(counts, names, cache.manifest.dataset))
    content = found | {"cache": str(cache.path), "sweeps": len(places), "confusion": counts.tolist()}
    files.write_text(run / SCORE_FILE, json.dumps(content, indent=1) + "\n")
    return content


def load_network(run: Path, class_names: tuple[str, ...]) -> tuple[SegmentationNetwork, FinetuneConfig, torch.device]:
    """The network of a run, in evaluation mode. Raises UserError where the classes are other ones."""
    config = read_config(run, FinetuneConfig)
    trained_on = tuple(read_json(run / CONFIG_FILE).get("provenance", {}).get("class_names", ()))
    if trained_on != class_names:
        raise UserError(
            f"{run}: was trained for the classes {', '.join(trained_on)}; the cache has {', '.join(class_names)}"
        )
    train = config.train
    compute = choose_compute(train.device, train.engine, train.precision, False)
    network = SegmentationNetwork(config.model, len(class_names) - 1, compute)
    load_weights(run, network, NETWORK_FILE)
    return network.to(compute.device).eval(), config, compute.device


def report(content: dict[str, Any]) -> str:
    """A table of IoU by class, best first, and the means."""
    rows = sorted(content["iou"].items(), key=lambda item: -1.0 if item[1] is None else -item[1])
    lines = [f"{name:<20}{'absent' if value is None else f'{100 * value:6.1f}'}" for name, value in rows]
    return "\n".join(
        [
            *lines,
            f"{'mIoU':<20}{100 * content['miou']:6.1f}   without ground classes {100 * content['miou_objects']:.1f}, "
            f"accuracy {100 * content['accuracy']:.1f}, {content['sweeps']} sweeps of {content['cache']}",
            "",
        ]
    )
