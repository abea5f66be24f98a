"""Features of frozen voxels and their classes: what the probes learn from, and how they are scored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.trainer.data.voxelize import Voxels, considered
from iscc_lidar.trainer.evaluation.frozen import see, voxel_features
from iscc_lidar.trainer.evaluation.scores import SegmentationScore, count_confusion, score, semantic
from iscc_lidar.trainer.pretrain.config import PretrainConfig

# V voxels, M samples, D channels, C classes of the manifest, 0 unlabelled


@dataclass(frozen=True)
class LabelledVoxels:
    """Samples over many sweeps: ``features`` float [M, D], ``target`` int64 [M], class >= 1.

    Each (voxel, class) is one sample, so that near, dense points do not drown the rest.
    """

    features: Tensor
    target: Tensor


class VoxelClassifier(Protocol):
    """What a probe makes of the samples."""

    def predict(self, features: Tensor) -> Tensor:
        """Class >= 1 of each row of features [V, D], int64 [V]."""
        ...


def labelled_voxels(
    encoder: nn.Module, config: PretrainConfig, sweeps: Sequence[CachedSweep], seen: Sequence[Voxels], classes: int
) -> LabelledVoxels:
    """Samples of labelled sweeps, of which ``seen`` are the voxels. Raises UserError where none has a class."""
    features, target = [], []
    for sweep, voxels in zip(sweeps, seen, strict=True):
        truth = semantic(sweep)[considered(sweep, config.data.max_range_m)].astype(np.int64)
        pair = np.unique((voxels.of_point * classes + truth)[truth > 0])
        features.append(voxel_features(encoder, voxels)[torch.from_numpy(pair // classes)])
        target.append(torch.from_numpy(pair % classes))
    if not sum(map(len, target)):
        raise UserError("the labelled sweeps hold no point with a class; give others by --labelled")
    return LabelledVoxels(torch.cat(features), torch.cat(target))


def score_classifiers(
    encoder: nn.Module,
    config: PretrainConfig,
    classifiers: Mapping[str, VoxelClassifier],
    cache: Cache,
    sweeps: Iterable[CachedSweep],
) -> dict[str, SegmentationScore]:
    """Score classifiers on every point of sweeps of a cache.

    Points that the network does not see (out of range) count as missed where they have a class.
    """
    names = cache.manifest.class_names
    counts = {name: np.zeros((len(names), len(names)), np.int64) for name in classifiers}
    for sweep in sweeps:
        voxels = see(sweep, config)
        features = voxel_features(encoder, voxels)
        keep = considered(sweep, config.data.max_range_m)
        for name, classifier in classifiers.items():
            predicted = np.zeros(len(sweep.xyz), np.int64)
            predicted[keep] = classifier.predict(features).numpy()[voxels.of_point]
            counts[name] += count_confusion(semantic(sweep), predicted, len(names))
    return {name: score(count, names, cache.manifest.dataset) for name, count in counts.items()}
