"""``iscc-train evaluate``: score the features of a run without fine-tuning."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from iscc_lidar.shared.base.config import check_ranges, option, section, to_dict
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.own import refuse_foreign_file, write_own_file
from iscc_lidar.shared.cache.label_fractions import write_list
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.trainer.data.places import Place, listed_places, names_of
from iscc_lidar.trainer.evaluation.frozen import calibrate, spread_sweeps, voxelize_sweep
from iscc_lidar.trainer.evaluation.grouping import Clustering, cluster_by_kmeans, score_grouping
from iscc_lidar.trainer.evaluation.groups import GroupSet, gather_groups
from iscc_lidar.trainer.evaluation.occupancy import occupancy_probe
from iscc_lidar.trainer.evaluation.probes import (
    LinearProbe,
    NeighbourConfig,
    NeighbourProbe,
    fit_linear_probe,
    keep_neighbours,
    labelled_voxels,
    score_probes,
)
from iscc_lidar.trainer.evaluation.scores import SegmentationScore
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.pretrain.recipe import config_of
from iscc_lidar.trainer.pretrain.student import GroupEncoder, Student
from iscc_lidar.trainer.pretrain.trained import load_prototypes, load_student, new_student
from iscc_lidar.trainer.run.run import Run, open_run

FORMAT: Final = "iscc-lidar-evaluation"
_MARK: Final = f'"format": "{FORMAT}"'.encode()
TRAINED: Final = "pre-trained"
UNTRAINED: Final = "untrained"


@dataclass(frozen=True)
class EvaluationConfig:
    """How much is fitted and scored."""

    labelled_sweeps: int = option(6, "sweeps of the training cache whose labels fit the probes; 1 % of 600", at_least=0)
    val_sweeps: int = option(0, "sweeps of the other cache that are scored, evenly spread; 0 takes all", at_least=0)
    occupancy_sweeps: int = option(48, "sweeps of each cache whose occupancy is predicted; 0 takes all", at_least=0)
    grouping_sweeps: int = option(
        160,
        "sweeps of the training cache on whose groups k-means is fitted and clusters are named; 0 takes all",
        at_least=0,
    )
    clusters: int = option(
        100, "clusters of k-means for a run without prototypes; else as many as it has", at_least=1, at_most=10**6
    )
    seed: int = option(
        0, "seed of the choice of sweeps, masks and neighbours, and of k-means", at_least=0, at_most=10**9
    )
    neighbours: NeighbourConfig = section(NeighbourConfig)

    def __post_init__(self) -> None:
        check_ranges(self, "")


@dataclass(frozen=True)
class Evaluation:
    """An evaluation: how much, of which run, on which sweeps.

    Attributes:
        config: how much.
        trained: options of the run.
        train: the cache whose labels fit; val: the cache whose sweeps are scored.
        labelled: sweeps of ``train`` that fit the probes; scored: those of ``val`` that are scored.
    """

    config: EvaluationConfig
    trained: PretrainConfig
    train: Cache
    val: Cache
    labelled: Sequence[Place]
    scored: Sequence[Place]


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
    cache; ``labelled.txt`` next to ``out`` lists them.

    Args:
        run: OUT of a pre-training run.
        train_cache: its labels fit the probes, its groups k-means.
        val_cache: its sweeps are scored.
        config: how much.
        out: the JSON file to write.
        labelled: a list of sweeps, or None.
        untrained_only: leave out the run's own network: the control alone, which needs the run's options only.

    Raises:
        UserError: no run, no checkpoint yet, caches without classes or with different ones.
    """
    refuse_foreign_file(out, _MARK)
    train, val = Cache(train_cache), Cache(val_cache)
    if train.manifest.class_names != val.manifest.class_names:
        raise UserError(f"{train_cache} and {val_cache} have different semantic classes; take caches of one dataset")
    opened = open_run(run, "pretrain")
    trained = config_of(opened)
    places = _labelled(train, config, labelled, out)
    scored = spread_sweeps(val, config.val_sweeps, config.seed, labelled=True)
    evaluation = Evaluation(config, trained, train, val, places, scored)
    students = _students(opened, trained, untrained_only)
    probes = {name: _probe(student.encoder, evaluation) for name, student in students.items()}
    about = {"run": str(run), "train_cache": str(train_cache), "val_cache": str(val_cache)}
    result: dict[str, Any] = {
        "format": FORMAT,
        "options": to_dict(config) | {"labelled_sweeps": len(places)},
        "about": about | {"dataset": val.manifest.dataset, "val_sweeps": len(scored)},
        "linear_probe": {name: asdict(scores["linear"]) for name, scores in probes.items()},
        "neighbour_probe": {name: asdict(scores["neighbour"]) for name, scores in probes.items()},
        "grouping": _grouping(opened, students, evaluation),
    }
    student = students.get(TRAINED)
    if isinstance(student, Student) and isinstance(trained, IsccConfig) and trained.loss.occupancy_weight > 0:
        sweeps = config.occupancy_sweeps
        result["occupancy"] = occupancy_probe(student, trained, train, val, sweeps, config.seed)
    write_own_file(out, (json.dumps(result, indent=1) + "\n").encode(), _MARK)
    return result


def _labelled(train: Cache, config: EvaluationConfig, listed: Path | None, out: Path) -> list[Place]:
    if listed is None:
        places = spread_sweeps(train, config.labelled_sweeps, config.seed, labelled=True)
    else:
        places = listed_places(train, listed)
    write_list(out.with_name("labelled.txt"), names_of(train, places))
    return places


def _students(run: Run, trained: PretrainConfig, untrained_only: bool) -> dict[str, GroupEncoder]:
    torch.manual_seed(trained.train.seed)
    students = {UNTRAINED: new_student(trained)}
    return students if untrained_only else students | {TRAINED: load_student(run, trained)}


def _read_sweeps(cache: Cache, places: Sequence[Place], what: str) -> Iterator[CachedSweep]:
    for sequence, index in tqdm(places, desc=what, unit="sweep", leave=False):
        yield cache.sweep(sequence, index, ("queries", "pixel"))


def _probe(encoder: nn.Module, evaluation: Evaluation) -> dict[str, SegmentationScore]:
    """Score both probes; the encoder gets batch-norm statistics of the labelled sweeps, see frozen.calibrate."""
    config, trained, classes = evaluation.config, evaluation.trained, len(evaluation.val.manifest.class_names)
    labelled = list(_read_sweeps(evaluation.train, evaluation.labelled, "labelled"))
    voxels = [voxelize_sweep(sweep, trained) for sweep in labelled]
    calibrate(encoder, voxels)
    samples = labelled_voxels(encoder, trained, labelled, voxels, classes)
    probes: dict[str, LinearProbe | NeighbourProbe] = {
        "linear": fit_linear_probe(samples, classes),
        "neighbour": keep_neighbours(samples, config.neighbours, config.seed),
    }
    scored = _read_sweeps(evaluation.val, evaluation.scored, "probes")
    return score_probes(encoder, trained, probes, evaluation.val, scored)


def _grouping(run: Run, students: dict[str, GroupEncoder], evaluation: Evaluation) -> dict[str, Any]:
    """Score clusters of groups: prototypes, where the run has such, and k-means with as many clusters."""
    config, trained, names = evaluation.config, evaluation.trained, evaluation.val.manifest.class_names
    encoders = {name: students[name].encoder for name in reversed(students)}
    places = spread_sweeps(evaluation.train, config.grouping_sweeps, config.seed, labelled=True)
    train, val = (
        gather_groups(_read_sweeps(cache, chosen, "groups"), trained, encoders, len(names))
        for cache, chosen in ((evaluation.train, places), (evaluation.val, evaluation.scored))
    )
    clusterings, clusters = {}, config.clusters
    if isinstance(trained, IsccConfig):
        clusters = trained.prototypes.count
        if TRAINED in students:
            clusterings["prototypes"] = _by_prototypes(run, students[TRAINED], trained, train, val)
    for name, clustering in cluster_by_kmeans(train, val, clusters, config.seed).items():
        clusterings[f"k-means, {name}"] = clustering
    return score_grouping(clusterings, train, val, names, evaluation.val.manifest.dataset)


def _by_prototypes(run: Run, student: GroupEncoder, trained: IsccConfig, train: GroupSet, val: GroupSet) -> Clustering:
    centres = load_prototypes(run, trained).centres

    @torch.no_grad()
    def nearest(features: NDArray[np.float32]) -> NDArray[np.int64]:
        found: NDArray[np.int64] = (student.head(torch.from_numpy(features)) @ centres.T).argmax(dim=1).numpy()
        return found

    return Clustering(len(centres), nearest(train.features[TRAINED]), nearest(val.features[TRAINED]))
