"""Segment the sweeps of a cache with a fine-tuned network, and score every original point."""

from __future__ import annotations

import importlib.util
import json
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.layouts.layout import open_predictions
from iscc_lidar.trainer.data.places import all_labelled
from iscc_lidar.trainer.evaluation.pictures import draw_confusion, draw_segmentation
from iscc_lidar.trainer.evaluation.scores import count_confusion, score, semantic
from iscc_lidar.trainer.finetune.labels import scored_places
from iscc_lidar.trainer.finetune.semseg.config import SemsegConfig
from iscc_lidar.trainer.finetune.semseg.learner import SemsegLearner
from iscc_lidar.trainer.finetune.semseg.network import SegmentationNetwork
from iscc_lidar.trainer.finetune.semseg.predict import predict_all
from iscc_lidar.trainer.run.loop import compute_of
from iscc_lidar.trainer.run.run import open_run
from iscc_lidar.trainer.run.weights import load_weights

SCORE_FILE: Final = "segmentation.json"


@dataclass(frozen=True)
class Where:
    """What is segmented, and where the predictions go.

    Attributes:
        cache: of the sweeps; listed: only those of this list.
        predictions: folder for the predictions in the data set's own layout; None writes none.
        root: folder of the data set, for layouts that need it.
    """

    cache: Path | str
    listed: Path | None = None
    predictions: Path | None = None
    root: Path | None = None


def score_run(run: Path, where: Where) -> dict[str, Any]:
    """Segment sweeps with a fine-tuned run and score them.

    Writes ``run/segmentation.json``, and where matplotlib is installed ``confusion.png`` and ``segmentation.png``, the
    latter of the sweep in the middle.

    Returns:
        What is in the JSON file: mIoU by the data set's rule, IoU of each class, the confusion matrix.
    """
    cache = Cache(where.cache)
    names = cache.manifest.class_names
    network, config, device = load_network(run, names)
    places = scored_places(cache, where.listed, all_labelled)
    counts = np.zeros((len(names), len(names)), np.int64)
    with open_predictions(cache, where.predictions, where.root) if where.predictions else nullcontext() as write:
        for number, (sweep, predicted) in enumerate(
            predict_all(network, cache, places, config.model.voxel_size, device)
        ):
            counts += count_confusion(semantic(sweep), predicted, len(names))
            if write is not None:
                write(sweep, predicted)
            if number == len(places) // 2 and pictures_can_be_drawn():
                draw_segmentation(sweep, predicted, names, run / "segmentation.png")
    found = asdict(score(counts, names, cache.manifest.dataset))
    content = found | {"cache": str(cache.path), "sweeps": len(places), "confusion": counts.tolist()}
    if pictures_can_be_drawn():
        draw_confusion(counts, names, run / "confusion.png")
    files.write_text(run / SCORE_FILE, json.dumps(content, indent=1) + "\n")
    return content


def pictures_can_be_drawn() -> bool:
    """Whether matplotlib is installed: the scores do not need it."""
    return importlib.util.find_spec("matplotlib") is not None


def load_network(run: Path, class_names: tuple[str, ...]) -> tuple[SegmentationNetwork, SemsegConfig, torch.device]:
    """The network of a run, in evaluation mode. Raises UserError where the classes are other ones."""
    opened = open_run(run, "semseg")
    config = opened.config(SemsegConfig)
    trained_on = tuple(opened.provenance.get("class_names", ()))
    if trained_on != class_names:
        raise UserError(
            f"{run}: was trained for the classes {', '.join(trained_on)}; the cache has {', '.join(class_names)}"
        )
    compute = compute_of(config.train)
    network = SegmentationNetwork(config.model, len(class_names) - 1, compute)
    load_weights(run, network, SemsegLearner.network_file)
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
