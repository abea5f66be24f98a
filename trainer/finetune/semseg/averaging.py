"""Average a network's prediction of a point with that of its group, over all sweeps in which the group is."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.trainer.data.places import Place
from iscc_lidar.trainer.data.voxelize import join_voxels, voxelize

OWN_WEIGHT: Final = 0.5
"""Weight of a point's own prediction; that of its group has the rest."""


class GroupMeans:
    """Mean class probabilities of groups, added up sweep by sweep; memory grows with the groups alone."""

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._sums: dict[int, NDArray[np.float64]] = {}

    def add(self, label: NDArray[np.int32], probability: NDArray[np.floating]) -> None:
        """Add a sweep: labels of its points [N] and their class probabilities [N, C]; negative labels are no groups."""
        grouped = label >= 0
        ids, row = np.unique(label[grouped], return_inverse=True)
        own = probability[grouped]
        sums = np.stack([np.bincount(row, own[:, c], minlength=len(ids)) for c in range(self._classes)], axis=1)
        for group, added in zip(ids.tolist(), sums, strict=True):
            self._sums[group] = self._sums[group] + added if group in self._sums else added

    def average(self, label: NDArray[np.int32], probability: NDArray[np.floating]) -> NDArray[np.float64]:
        """Average the probabilities of a sweep that was added with those of its groups, float64 [N, C]."""
        result = probability.astype(np.float64)
        grouped = np.flatnonzero(label >= 0)
        if len(grouped):
            ids, row = np.unique(label[grouped], return_inverse=True)
            means = np.stack([self._sums[group] / self._sums[group].sum() for group in ids.tolist()])
            result[grouped] = OWN_WEIGHT * result[grouped] + (1 - OWN_WEIGHT) * means[row]
        return result


@dataclass(frozen=True)
class Segmented:
    """What a network says of a sweep.

    Attributes:
        best: uint8 [V], the most probable class of each voxel, from 1.
        probability: float16 [V, C], of each class.
        of_point: int64 [N], the voxel of each valid point.
        valid: int64 [N], which points are valid.
    """

    best: NDArray[np.uint8]
    probability: NDArray[np.float16]
    of_point: NDArray[np.int64]
    valid: NDArray[np.int64]

    def of_points(self) -> NDArray[np.float16]:
        """Return the probabilities of the valid points."""
        return self.probability[self.of_point]


@dataclass(frozen=True)
class PredictedSweep:
    """A sweep and the classes of its points, from 1; 0 for invalid ones.

    Attributes:
        sweep: its points.
        alone: uint8 [N], by the network alone.
        averaged: uint8 [N], averaged with its groups.
        probability: float32 [N], of the averaged class; None where nothing was averaged.
    """

    sweep: CachedSweep
    alone: NDArray[np.uint8]
    averaged: NDArray[np.uint8]
    probability: NDArray[np.float32] | None = None


def predict_averaged(
    network: nn.Module,
    read: Callable[[Place], CachedSweep],
    places: Iterable[Place],
    voxel_size: float,
    device: torch.device,
) -> Iterator[PredictedSweep]:
    """Predict sweeps, each averaged with its groups over all ``places`` of its sequence.

    The sweeps of a sequence are read twice; the network's output is kept in a temporary folder, about 1 MB each.
    """
    for _, of_sequence in itertools.groupby(places, lambda place: place[0]):
        with TemporaryDirectory() as temporary:
            yield from _predict_sequence(network, read, list(of_sequence), voxel_size, device, Path(temporary))


def _predict_sequence(
    network: nn.Module,
    read: Callable[[Place], CachedSweep],
    places: list[Place],
    voxel_size: float,
    device: torch.device,
    folder: Path,
) -> Iterator[PredictedSweep]:
    means: GroupMeans | None = None
    for place in places:
        sweep = read(place)
        if not sweep.xyz.any():
            continue
        found = segment_voxels(network, sweep, voxel_size, device)
        np.savez(folder / f"{place[1]}.npz", allow_pickle=False, **asdict(found))
        means = means or GroupMeans(found.probability.shape[1])
        means.add(sweep.label[found.valid], found.of_points())
    for place in places:
        sweep = read(place)
        alone, averaged = (np.zeros(len(sweep.xyz), np.uint8) for _ in range(2))
        probability = np.zeros(len(sweep.xyz), np.float32)
        if means is not None and sweep.xyz.any():
            with np.load(folder / f"{place[1]}.npz") as arrays:
                found = Segmented(*(arrays[field.name] for field in fields(Segmented)))
            alone[found.valid] = found.best[found.of_point]
            mixed = means.average(sweep.label[found.valid], found.of_points())
            averaged[found.valid] = mixed.argmax(axis=1) + 1
            probability[found.valid] = mixed.max(axis=1)
        yield PredictedSweep(sweep, alone, averaged, probability)


def segment_voxels(network: nn.Module, sweep: CachedSweep, voxel_size: float, device: torch.device) -> Segmented:
    """Compute the class probabilities of a sweep's voxels."""
    valid = np.flatnonzero(sweep.xyz.any(axis=1))
    voxels = voxelize(sweep.xyz[valid], sweep.intensity[valid], voxel_size)
    coords, feats = join_voxels([voxels])
    logits = network(coords.to(device), feats.to(device))
    best = (logits.argmax(dim=1) + 1).cpu().numpy().astype(np.uint8)
    probability = logits.softmax(dim=1).cpu().numpy().astype(np.float16)
    return Segmented(best, probability, voxels.of_point.astype(np.int64), valid)
