"""``iscc-train probe``: a run's features against those of the same network untrained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from iscc_lidar.shared import files
from iscc_lidar.shared.cache_reader import Cache
from iscc_lidar.shared.config import option, to_dict
from iscc_lidar.shared.errors import UserError
from iscc_lidar.shared.label_fractions import read_list, write_list
from iscc_lidar.trainer.config import PretrainConfig
from iscc_lidar.trainer.evaluation.frozen import spread_sweeps
from iscc_lidar.trainer.evaluation.linear_probe import linear_probe
from iscc_lidar.trainer.evaluation.occupancy_probe import occupancy_probe
from iscc_lidar.trainer.model.student import Student
from iscc_lidar.trainer.pretrain.checkpoint import load_student
from iscc_lidar.trainer.run.run_folder import read_config


@dataclass(frozen=True)
class ProbeConfig:
    """How much is fitted and scored."""

    labelled_sweeps: int = option(6, "sweeps of the training cache whose labels the linear probe sees; 1 % of 600")
    val_sweeps: int = option(0, "sweeps of the other cache that score it, evenly spread; 0 takes all")
    occupancy_sweeps: int = option(48, "sweeps of each cache that are asked for occupancy; 0 takes all")
    seed: int = option(0, "seed of the choice of sweeps and crops")


def probe_run(
    run: Path, train_cache: Path, val_cache: Path, config: ProbeConfig, out: Path, labelled: Path | None = None
) -> dict[str, Any]:
    """Probe the run's encoder and the same one untrained (same seed); write all figures to ``out`` as JSON.

    The labelled sweeps are those of the list ``labelled`` (see shared.label_fractions), else some spread over the
    cache; ``labelled.txt`` beside ``out`` tells which.
    Batch-norm statistics of both networks are set on the labelled sweeps, see frozen.calibrate.
    """
    train, val = Cache(train_cache), Cache(val_cache)
    if train.manifest.class_names != val.manifest.class_names:
        raise UserError(f"{train_cache} and {val_cache} have different semantic classes; probe caches of one data set")
    made_with = read_config(run, PretrainConfig)
    torch.manual_seed(made_with.train.seed)
    untrained = Student(made_with.model, made_with.heads)
    trained = load_student(run, made_with)
    names = {sequence: train.sweep_names(sequence) for sequence in train.sequence_names}
    if labelled is None:
        places = spread_sweeps(train, config.labelled_sweeps, config.seed)
    else:
        places = [(sequence, names[sequence].index(name)) for sequence, name in read_list(labelled, names)]
    write_list(out.with_name("labelled.txt"), [(sequence, names[sequence][index]) for sequence, index in places])
    val_places = spread_sweeps(val, config.val_sweeps, config.seed)
    linear = {
        name: linear_probe(student.encoder, made_with, train, places, val, val_places)
        for name, student in (("untrained", untrained), ("pre-trained", trained))
    }
    result: dict[str, Any] = {"probe": to_dict(config) | {"labelled_sweeps": len(places)}, "linear_probe": linear}
    if made_with.loss.occupancy_weight > 0:
        result["occupancy"] = occupancy_probe(trained, made_with, train, val, config.occupancy_sweeps, config.seed)
    files.write_text(out, json.dumps(result, indent=1) + "\n")
    return result


def report(result: Mapping[str, Any]) -> str:
    """Figures as text."""
    before, after = result["linear_probe"]["untrained"], result["linear_probe"]["pre-trained"]
    lines = [f"{'linear probe, IoU':<24}{'untrained':>12}{'pre-trained':>12}"]
    lines += [f"{name:<24}{before[name]:>12.3f}{after[name]:>12.3f}" for name in before]
    if "occupancy" in result:
        lines += ["", f"{'occupancy':<24}{'accuracy':>12}{'balanced':>12}"]
        lines += [
            f"{name:<24}{row['accuracy']:>12.3f}{row['balanced']:>12.3f}" for name, row in result["occupancy"].items()
        ]
    return "\n".join(lines) + "\n"
