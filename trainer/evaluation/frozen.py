"""A frozen network over all voxels of sweeps, without augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.trainer.data.places import Place, all_labelled
from iscc_lidar.trainer.data.voxelize import Voxels, considered, enough_to_train, group_members, join_voxels, voxelize
from iscc_lidar.trainer.model.unet import SparseUNet
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.samples.batch import GroupedView


def spread_sweeps(cache: Cache, count: int, seed: int, labelled: bool = False) -> list[Place]:
    """Draw sweeps evenly over the sequences of a cache; 0 takes all.

    With ``labelled`` only sweeps that have semantic labels; raises UserError where there is none.
    """
    entries = cache.manifest.sequences
    every = all_labelled(cache) if labelled else [(e.name, index) for e in entries for index in range(e.sweeps)]
    if count == 0 or count >= len(every):
        return every
    rng = np.random.default_rng(seed)
    # One draw from each of `count` equal ranges of all sweeps in sequence.
    edges = np.linspace(0, len(every), count + 1).astype(int)
    return [every[int(rng.integers(low, high))] for low, high in pairwise(edges)]


def voxelize_sweep(sweep: CachedSweep, config: PretrainConfig) -> Voxels:
    """Voxelise a sweep's considered points, as the network sees them."""
    keep = considered(sweep, config.data.max_range_m)
    return voxelize(sweep.xyz[keep], sweep.intensity[keep], config.model.voxel_size)


def grouped_view(voxels: Voxels, label: NDArray[np.int32], groups: NDArray[np.int32]) -> GroupedView:
    """Return voxels with their groups (ascending IDs [K]); ``label`` [N] gives the group of each point."""
    members = group_members(label, groups, voxels)
    coords, feats = join_voxels([voxels])
    return GroupedView(coords, feats, *map(torch.from_numpy, (members.voxel, members.group, members.points)))


@torch.no_grad()
def voxel_features(encoder: nn.Module, voxels: Voxels) -> Tensor:
    """Compute the features of one sweep's voxels, float [V, D]."""
    return features_of(encoder, *join_voxels([voxels]))


def features_of(encoder: nn.Module, coords: Tensor, feats: Tensor) -> Tensor:
    """Apply an encoder, which needs a voxel at least, to voxels [V, 4], of which there may be none: float [V, D]."""
    if len(coords) == 0:
        return feats.new_zeros(0, cast(SparseUNet, encoder).config.out_channels)
    features: Tensor = encoder(coords, feats)
    return features


@torch.no_grad()
def calibrate(encoder: nn.Module, voxels: Sequence[Voxels]) -> None:
    """Set batch-norm statistics to the average over given sweeps, and switch to evaluation.

    An untrained network has none of its own; both networks of a comparison get theirs in this same way.
    """
    norms = [m for m in encoder.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [m.momentum for m in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average
    encoder.train()
    levels = len(encoder.config.encoder_widths) if isinstance(encoder, SparseUNet) else 0
    for of_sweep in voxels:
        if enough_to_train(of_sweep, levels):
            voxel_features(encoder, of_sweep)
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
    encoder.eval()
