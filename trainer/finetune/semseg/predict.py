"""Classes for every original point of a sweep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.trainer.data.places import Place
from iscc_lidar.trainer.data.voxelize import join_voxels, voxelize


@torch.no_grad()
def predict(network: nn.Module, sweep: CachedSweep, voxel_size: float, device: torch.device) -> NDArray[np.uint8]:
    """Class >= 1 of every point of a sweep in the raw file's order, uint8 [N]; 0 for points that do not exist.

    ``network`` must be in evaluation mode.
    """
    exists = np.flatnonzero(sweep.xyz.any(axis=1))
    predicted = np.zeros(len(sweep.xyz), np.uint8)
    if len(exists) == 0:
        return predicted
    voxels = voxelize(sweep.xyz[exists], sweep.intensity[exists], voxel_size)
    coords, feats = join_voxels([voxels])
    best = network(coords.to(device), feats.to(device)).argmax(dim=1) + 1
    predicted[exists] = best.cpu().numpy().astype(np.uint8)[voxels.of_point]
    return predicted


def predict_all(
    network: nn.Module, cache: Cache, places: Sequence[Place], voxel_size: float, device: torch.device
) -> Iterator[tuple[CachedSweep, NDArray[np.uint8]]]:
    """Sweeps of a cache and their predicted classes, in turn."""
    network.eval()
    for place in tqdm(places, desc="segment", unit="sweep", leave=False):
        sweep = cache.sweep(place[0], place[1], without=("queries", "pixel"))
        yield sweep, predict(network, sweep, voxel_size, device)
