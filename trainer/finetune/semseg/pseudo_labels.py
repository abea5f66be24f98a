"""Labels by a network: its predictions on the sweeps of a cache, averaged over groups, as labels to train on.

They are written as spread labels are, and used like them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from tqdm import tqdm

from iscc_lidar.data_schemas.spread import (
    FROM_NETWORK,
    FROM_NOTHING,
    SPREAD_FILE,
    SpreadManifest,
    SpreadPart,
    SpreadPoints,
    SpreadSequence,
    own_labels,
)
from iscc_lidar.shared.base.provenance import versions
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.spread_folder import part_path, refuse_foreign, write_manifest
from iscc_lidar.shared.cache.spread_labels import SpreadLabels
from iscc_lidar.shared.cache.spread_part import SpreadSweep, describe_part, encode
from iscc_lidar.shared.store.store import Store
from iscc_lidar.trainer.data.places import Place
from iscc_lidar.trainer.finetune.score import TunedNetwork
from iscc_lidar.trainer.finetune.semseg.averaging import PredictedSweep, predict_averaged
from iscc_lidar.trainer.finetune.semseg.segment import read_sweep, refuse_other_classes

_SWEEPS: Final = 16
"""Sweeps of a file."""


@dataclass(frozen=True)
class Teacher:
    """What labels the sweeps of a cache.

    Attributes:
        tuned: the network.
        cache: sweeps, and the labels of the labelled ones.
        labelled: the labelled sweeps.
        spread: labels that were spread from these; where they are, they prevail. None for none.
        min_confidence: predictions that are less probable are left out.
    """

    tuned: TunedNetwork
    cache: Cache
    labelled: Sequence[Place]
    spread: SpreadLabels | None
    min_confidence: float


@torch.no_grad()
def write_pseudo_labels(teacher: Teacher, store: Store) -> SpreadManifest:
    """Label all sweeps of a cache; returns the table of contents, which is written last.

    Raises:
        UserError: the network has other classes, or the folder contains something else.
    """
    cache, tuned = teacher.cache, teacher.tuned
    refuse_other_classes(tuned.run, cache)
    refuse_foreign(store)
    total = sum(cache.sequence(name).sweeps for name in cache.sequence_names)
    with store.claim() as check_claim, tqdm(total=total, desc="label", unit="sweep") as bar:
        store.remove(SPREAD_FILE)
        sequences = tuple(_label_sequence(teacher, name, store, bar) for name in cache.sequence_names)
        made_by = {"network": tuned.name, "min_confidence": teacher.min_confidence, "versions": versions()}
        manifest = SpreadManifest(cache.digest, cache.manifest.class_names, sequences, made_by)
        check_claim()
        write_manifest(store, manifest)
    return manifest


def _label_sequence(teacher: Teacher, sequence: str, store: Store, bar: tqdm[None]) -> SpreadSequence:
    cache, tuned = teacher.cache, teacher.tuned
    sweeps = cache.sequence(sequence).sweeps
    places = [(sequence, index) for index in range(sweeps)]
    read = functools.partial(read_sweep, cache)
    found = predict_averaged(tuned.network, read, places, tuned.config.model.voxel_size, tuned.device)
    labelled = _with_labels(teacher, found)
    parts: list[SpreadPart] = []
    for start in range(0, sweeps, _SWEEPS):
        stretch = (start, min(start + _SWEEPS, sweeps))
        content = encode([next(labelled) for _ in range(*stretch)], key="")
        store.write(part_path(sequence, start), content)
        parts.append(describe_part(part_path(sequence, start), stretch, content))
        bar.update(stretch[1] - start)
    own = tuple(index for name, index in teacher.labelled if name == sequence)
    return SpreadSequence(sequence, sweeps, tuple(sorted(own)), tuple(parts))


def _with_labels(teacher: Teacher, predicted: Iterator[PredictedSweep]) -> Iterator[SpreadSweep]:
    """Put labels, and spread labels, in the place of predictions."""
    spread_to = () if teacher.spread is None else teacher.spread.sequence_names
    for found in predicted:
        sequence, index = place = found.sweep.sequence, found.sweep.index
        if place in teacher.labelled:
            yield SpreadSweep(index, own_labels(teacher.cache.classes(*place)), None)
            continue
        points = _of_network(found, teacher.min_confidence)
        if teacher.spread is not None and sequence in spread_to:
            points = _first(teacher.spread.sweep(sequence, index), points)
        yield SpreadSweep(index, points, None)


def _of_network(found: PredictedSweep, min_confidence: float) -> SpreadPoints:
    assert found.probability is not None  # predict_averaged gives them
    sure = (found.averaged > 0) & (found.probability >= min_confidence)
    source = np.where(sure, FROM_NETWORK, FROM_NOTHING).astype(np.uint8)
    return SpreadPoints(np.where(sure, found.averaged, 0), np.where(sure, found.probability, np.float32(0)), source)


def _first(a: SpreadPoints, b: SpreadPoints) -> SpreadPoints:
    """Return labels of ``a``, and where it says nothing those of ``b``: what people left unlabelled stays so."""
    has = a.source != FROM_NOTHING
    return SpreadPoints(*(np.where(has, getattr(a, name), getattr(b, name)) for name in SpreadPoints.__annotations__))
