"""``iscc-train evaluate``: what the features of a run are worth without fine-tuning."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.config import to_dict
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.label_fractions import write_list
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.places import Place, frames_of, listed_places
from iscc_lidar.trainer.evaluation.frozen import spread_sweeps
from iscc_lidar.trainer.evaluation.group_features import geometry, pooled
from iscc_lidar.trainer.evaluation.grouping import Clustering, cluster_by_kmeans, score_grouping
from iscc_lidar.trainer.evaluation.groups import GroupSet, gather_groups
from iscc_lidar.trainer.evaluation.job import EvaluationConfig, Job, read_sweeps
from iscc_lidar.trainer.evaluation.occupancy_probe import occupancy_probe
from iscc_lidar.trainer.evaluation.probes import probe
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.pretrain.recipe import config_of
from iscc_lidar.trainer.pretrain.student import GroupEncoder, Student
from iscc_lidar.trainer.pretrain.trained import load_prototypes, load_student, new_student
from iscc_lidar.trainer.run.run import Run, open_run

TRAINED: Final = "pre-trained"
UNTRAINED: Final = "untrained"


def evaluate(
    run: Path,
    train_cache: Path | str,
    val_cache: Path | str,
    config: EvaluationConfig,
    out: Path,
    labelled: Path | None = None,
    *,
    untrained_only: bool = False,
) -> dict[str, Any]:
    """Evaluate the run's network and the same one untrained (same seed); write all figures to ``out`` as JSON.

    The labelled sweeps are those of the list ``labelled`` (see shared.label_fractions), else some spread over the
    cache; ``labelled.txt`` beside ``out`` tells which.

    Args:
        run: OUT of a pre-training run.
        train_cache: whose labels fit the probes, and whose groups k-means is fitted to.
        val_cache: whose sweeps score.
        config: how much.
        out: the JSON file to write.
        labelled: a list of sweeps, or None.
        untrained_only: leave out the run's own network: the control alone, which needs the run's options only.

    Raises:
        UserError: no run, no checkpoint yet, caches without classes or with different ones.
    """
    train, val = Cache(train_cache), Cache(val_cache)
    if train.manifest.class_names != val.manifest.class_names:
        raise UserError(f"{train_cache} and {val_cache} have different semantic classes; take caches of one data set")
    opened = open_run(run, "pretrain")
    made_with = config_of(opened)
    places = _labelled(train, config, labelled, out)
    job = Job(config, made_with, train, val, places, spread_sweeps(val, config.val_sweeps, config.seed, labelled=True))
    students = _students(opened, made_with, untrained_only)
    probes = {name: probe(student.encoder, job) for name, student in students.items()}
    about = {"run": str(run), "train_cache": str(train_cache), "val_cache": str(val_cache)}
    result: dict[str, Any] = {
        "options": to_dict(config) | {"labelled_sweeps": len(places)},
        "about": about | {"dataset": val.manifest.dataset, "val_sweeps": len(job.scored)},
        "linear_probe": {name: asdict(linear) for name, (linear, _) in probes.items()},
        "neighbour_probe": {name: asdict(neighbour) for name, (_, neighbour) in probes.items()},
        "grouping": _grouping(opened, students, job),
    }
    trained = students.get(TRAINED)
    if isinstance(trained, Student) and isinstance(made_with, IsccConfig) and made_with.loss.occupancy_weight > 0:
        sweeps = config.occupancy_sweeps
        result["occupancy"] = occupancy_probe(trained, made_with, train, val, sweeps, config.seed)
    files.write_text(out, json.dumps(result, indent=1) + "\n")
    return result


def _labelled(train: Cache, config: EvaluationConfig, listed: Path | None, out: Path) -> list[Place]:
    if listed is None:
        places = spread_sweeps(train, config.labelled_sweeps, config.seed, labelled=True)
    else:
        places = listed_places(train, listed)
    write_list(out.with_name("labelled.txt"), frames_of(train, places))
    return places


def _students(run: Run, made_with: PretrainConfig, untrained_only: bool) -> dict[str, GroupEncoder]:
    torch.manual_seed(made_with.train.seed)
    students = {UNTRAINED: new_student(made_with)}
    return students if untrained_only else students | {TRAINED: load_student(run, made_with)}


def _grouping(run: Run, students: dict[str, GroupEncoder], job: Job) -> dict[str, Any]:
    """Score clusters of groups: prototypes, where the run has such, and k-means with as many clusters."""
    describe = {name: pooled(students[name].encoder) for name in reversed(students)} | {"geometry": geometry}
    places = spread_sweeps(job.train, job.config.grouping_sweeps, job.config.seed, labelled=True)
    train, val = (
        gather_groups(read_sweeps(cache, chosen, "groups"), job.made_with, describe, len(job.class_names))
        for cache, chosen in ((job.train, places), (job.val, job.scored))
    )
    clusterings, clusters = {}, job.config.clusters
    if isinstance(job.made_with, IsccConfig):
        clusters = job.made_with.prototypes.count
        if TRAINED in students:
            clusterings["prototypes"] = _by_prototypes(run, students[TRAINED], job.made_with, train, val)
    for name, clustering in cluster_by_kmeans(train, val, clusters, job.config.seed).items():
        clusterings[f"k-means, {name}"] = clustering
    return score_grouping(clusterings, train, val, job.class_names, job.val.manifest.dataset)


def _by_prototypes(
    run: Run, student: GroupEncoder, made_with: IsccConfig, train: GroupSet, val: GroupSet
) -> Clustering:
    centres = load_prototypes(run, made_with).centres

    @torch.no_grad()
    def nearest(features: NDArray[np.float32]) -> NDArray[np.int64]:
        found: NDArray[np.int64] = (student.head(torch.from_numpy(features)) @ centres.T).argmax(dim=1).numpy()
        return found

    return Clustering(len(centres), nearest(train.features[TRAINED]), nearest(val.features[TRAINED]))
