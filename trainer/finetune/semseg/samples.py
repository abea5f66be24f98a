"""Labelled sweeps as training samples: augmented and voxelised, each voxel with the majority class of its points."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.spread_labels import SpreadLabels
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.trainer.data.augment import augment, rotate_groups
from iscc_lidar.trainer.data.dataset import SweepDataset, SweepSample
from iscc_lidar.trainer.data.pack import TensorSet
from iscc_lidar.trainer.data.pairs import SampleKey, sample_rng
from iscc_lidar.trainer.data.places import Place
from iscc_lidar.trainer.data.voxelize import Voxels, considered, enough_to_train, join_voxels, voxelize
from iscc_lidar.trainer.evaluation.scores import semantic
from iscc_lidar.trainer.finetune.semseg.config import SemsegConfig
from iscc_lidar.trainer.finetune.semseg.lasermix import Points, lasermix
from iscc_lidar.trainer.hardware.distributed import is_first_process

NOT_READ: Final = ("queries", "pixel")
"""Parts of a sweep that segmentation does not use."""
_SHOWN_SWEEPS: Final = 1000
"""Counting classes takes a second for about this many sweeps; from there on a bar is shown."""


@dataclass(frozen=True)
class LabelledSample(SweepSample):
    """One augmented sweep and its name.

    ``target`` uint8 [V] is the class of each voxel, 0 where unlabelled, ``weight`` float32 [V] how sure it is.
    """

    name: str
    voxels: Voxels
    target: NDArray[np.uint8]
    weight: NDArray[np.float32]


@dataclass(frozen=True)
class LabelledBatch(TensorSet):
    """A micro-batch.

    Attributes:
        names: of the sweeps, for messages.
        coords: int32 [V, 4], (scene, x, y, z).
        feats: float32 [V, 4].
        target: int64 [V], class, 0 where unlabelled.
        weight: float32 [V], weight of the voxel: 1, or the confidence of a spread label.
        left_out: names of sweeps with too few points, for which others were taken.
    """

    names: tuple[str, ...]
    coords: Tensor
    feats: Tensor
    target: Tensor
    weight: Tensor
    left_out: tuple[str, ...] = ()

    def describe(self) -> str:
        """Describe its size."""
        return f"{len(self.coords):,} voxels"


class LabelledDataset(SweepDataset[LabelledSample, CachedSweep]):
    """Samples as a pure function of their key; with ``spread`` their classes are spread labels."""

    def __init__(
        self, cache: Cache, places: Sequence[Place], config: SemsegConfig, spread: SpreadLabels | None = None
    ) -> None:
        super().__init__(cache, places, functools.partial(cache.sweep, without=NOT_READ), config.train.keep_sweeps)
        self.cache, self.config, self.spread = cache, config, spread
        self.classes = len((cache if spread is None else spread).manifest.class_names)

    def make(self, key: SampleKey) -> LabelledSample | None:
        """See ``SweepDataset``."""
        config, rng = self.config, sample_rng(self.config.train.seed, key)
        sweep = self.read_sweep(*self.places[key.place])
        points = self._points(sweep, rng)
        if config.mix.probability > 0 and rng.random() < config.mix.probability:
            other = self.read_sweep(*self.places[int(rng.integers(len(self.places)))])
            points = lasermix(points, self._points(other, rng), config.mix, rng)
        view = augment(*points, config.augment, rng)
        voxels = voxelize(view.xyz, view.intensity, config.model.voxel_size)
        if not enough_to_train(voxels, len(config.model.encoder_widths)):
            return None
        classes, weights = view.label & 0xFF, (view.label >> 8).astype(np.float32) / np.float32(255)
        target = majority_class(classes, voxels, self.classes)
        weight = mean_weight(classes, weights, voxels, target)
        return LabelledSample(f"{sweep.sequence}/{sweep.name}", voxels, target, weight)

    def _points(self, sweep: CachedSweep, rng: np.random.Generator) -> Points:
        """Select the points in range; augment carries any integer label along."""
        sweep = rotate_groups(sweep, self.config.augment.rotate_groups, rng)
        keep = np.flatnonzero(considered(sweep, self.config.data.max_range_m))
        return sweep.xyz.take(keep, axis=0), sweep.intensity[keep], self._classes_and_weights(sweep)[keep]

    def _classes_and_weights(self, sweep: CachedSweep) -> NDArray[np.int32]:
        """Return the class of each point + 256 x 255 x its weight, int32 [N]."""
        if self.spread is None:
            return semantic(sweep).astype(np.int32) + (255 << 8)
        found = self.spread.sweep(sweep.sequence, sweep.index)
        return found.classes.astype(np.int32) + (np.rint(255 * found.confidence).astype(np.int32) << 8)

    def count_classes(self) -> NDArray[np.int64]:
        """Count the points of each class but 0 in all sweeps in use, int64 [L]; spread labels by their confidence.

        Sweeps that are drawn more often count as often.

        Raises UserError where all are 0.
        """
        counts = np.zeros(self.classes, np.int64)
        silent = len(self) < _SHOWN_SWEEPS or not is_first_process()
        drawn = Counter(self.places).items()
        for (sequence, index), times in tqdm(drawn, desc="counting classes", unit="sweep", leave=False, disable=silent):
            found = times * self._count(sequence, index)
            if len(found) > self.classes:
                raise UserError(f"{self.cache.path}: sequence {sequence}, sweep {index}: a class without a name")
            counts += found
        if counts[1:].sum() == 0:
            raise UserError(
                f"{self.cache.path}: no point of the labelled sweeps has a class; choose other sweeps, or preprocess "
                "again with their label files in place"
            )
        return counts[1:]

    def _count(self, sequence: str, index: int) -> NDArray[np.int64]:
        if self.spread is None:
            return np.bincount(self.cache.classes(sequence, index), minlength=self.classes)
        found = self.spread.sweep(sequence, index)
        return np.rint(np.bincount(found.classes, found.confidence, minlength=self.classes)).astype(np.int64)


def majority_class(truth: NDArray[np.int32], voxels: Voxels, classes: int) -> NDArray[np.uint8]:
    """Return the most common class of each voxel's labelled points, the lower one in a tie, uint8 [V]; 0 if none."""
    labelled = np.flatnonzero(truth > 0)
    pair, count = np.unique(voxels.of_point[labelled] * classes + truth[labelled], return_counts=True)
    order = np.lexsort((-pair, count))  # the last one written to a voxel is the most common
    target = np.zeros(len(voxels.coords), np.uint8)
    target[pair[order] // classes] = pair[order] % classes
    return target


def mean_weight(
    classes: NDArray[np.int32], weights: NDArray[np.float32], voxels: Voxels, target: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Return the mean weight of the points of each voxel's class, float32 [V]; 0 where it is unlabelled."""
    counted = (classes > 0) & (classes == target[voxels.of_point])
    of_point = voxels.of_point[counted]
    points = np.bincount(of_point, minlength=len(target))
    total = np.bincount(of_point, weights[counted], minlength=len(target))
    return (total / np.maximum(points, 1)).astype(np.float32)


def collate(samples: list[LabelledSample]) -> LabelledBatch:
    """Join samples to a batch."""
    coords, feats = join_voxels([s.voxels for s in samples])
    target = torch.from_numpy(np.concatenate([s.target for s in samples]).astype(np.int64))
    weight = torch.from_numpy(np.concatenate([s.weight for s in samples]))
    left_out = tuple(name for s in samples for name in s.left_out)
    return LabelledBatch(tuple(s.name for s in samples), coords, feats, target, weight, left_out)
