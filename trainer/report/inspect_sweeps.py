"""Apply the trained network to a few sweeps: nearest prototypes, and occupancy predicted at masked places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.trainer.data.augment import NO_AUGMENTATION
from iscc_lidar.trainer.data.voxelize import considered, voxelize
from iscc_lidar.trainer.evaluation.frozen import grouped_view, spread_sweeps
from iscc_lidar.trainer.evaluation.occupancy import MaskedPredictions, predict_masked
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.pretrain.samples.sample import draw_view
from iscc_lidar.trainer.pretrain.student import Student

# N points of a sweep that the network sees, K groups, Q queries, C prototypes


@dataclass(frozen=True)
class InspectedSweep:
    """One sweep and what the network computes for it, without augmentation.

    Attributes:
        sequence, name: which sweep.
        xyz: float32 [N, 3], metres, sensor frame; label: int32 [N]; semantic: uint8 [N] or None.
        group: int32 [K], IDs of the groups large enough to be trained on, ascending.
        prototype: int64 [K], the nearest prototype of each; similarity: float32 [K], its cosine.
        point_prototype: int64 [N], the nearest prototype of each point's voxel taken alone.
        answers: predicted occupancy; None where the run is not trained on it.
    """

    sequence: str
    name: str
    xyz: NDArray[np.float32]
    label: NDArray[np.int32]
    semantic: NDArray[np.uint8] | None
    group: NDArray[np.int32]
    prototype: NDArray[np.int64]
    similarity: NDArray[np.float32]
    point_prototype: NDArray[np.int64]
    answers: MaskedPredictions | None


def inspect_sweeps(
    student: Student, centres: Tensor, config: IsccConfig, cache: Cache, sweeps: int, seed: int
) -> list[InspectedSweep]:
    """Apply the network to sweeps spread over a cache. Sweeps without points are left out.

    Args:
        student: the network; it is switched to evaluation mode, with the batch-norm statistics of its training.
        centres: float [C, E], the prototypes F_g.
        config: options of the run.
        cache: where the sweeps come from.
        sweeps: how many; 0 takes all.
        seed: of the choice of sweeps and masked balls.
    """
    student.eval()
    places = tqdm(spread_sweeps(cache, sweeps, seed), desc="report", unit=" sweeps")
    found = (
        _inspect(student, centres, config, cache.sweep(*place), np.random.default_rng([seed, number]))
        for number, place in enumerate(places)
    )
    return [sweep for sweep in found if sweep is not None]


@torch.no_grad()
def _inspect(
    student: Student, centres: Tensor, config: IsccConfig, sweep: CachedSweep, rng: np.random.Generator
) -> InspectedSweep | None:
    view = draw_view(sweep, config.data, NO_AUGMENTATION, rng)
    voxels = voxelize(view.xyz, view.intensity, config.model.voxel_size)
    if len(voxels.coords) == 0:
        return None
    ids, points = np.unique(view.label[view.label >= 0], return_counts=True)
    groups = ids[points > config.data.min_group_points]
    seen = grouped_view(voxels, view.label, groups)
    h = student.voxel_features(seen)
    similarity = student.group_features(h, seen, len(groups)) @ centres.T
    of_voxel = (student.head(h) @ centres.T).argmax(dim=1).numpy()
    return InspectedSweep(
        sequence=sweep.sequence,
        name=sweep.name,
        xyz=view.xyz,
        label=view.label,
        semantic=None if sweep.semantic is None else sweep.semantic[considered(sweep, config.data.max_range_m)],
        group=groups,
        prototype=similarity.argmax(dim=1).numpy(),
        similarity=similarity.amax(dim=1).numpy(),
        point_prototype=of_voxel[voxels.of_point],
        answers=predict_masked(student, config, view, sweep.queries, rng) if config.loss.occupancy_weight > 0 else None,
    )
