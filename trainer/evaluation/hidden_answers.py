"""What a trained network answers about surface that was hidden from it."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from iscc_lidar.shared.cache.sweep import Queries
from iscc_lidar.trainer.data.augment import View
from iscc_lidar.trainer.data.voxelize import voxelize
from iscc_lidar.trainer.evaluation.frozen import voxel_features
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.pretrain.samples.masking import MaskedBalls, MaskingConfig, draw_masked_balls
from iscc_lidar.trainer.pretrain.samples.occupancy_queries import sample_queries
from iscc_lidar.trainer.pretrain.student import Student


class HiddenAnswers(NamedTuple):
    """Queries in the crops of one view.

    Attributes:
        crops: what was hidden.
        xyz: float32 [Q, 3], the queries, metres, view frame; crop: int64 [Q], the crop that each is in.
        voxel_xyz: float32 [Q, 3], mean point of the voxel that answers each.
        occupied: bool [Q], the truth; answer: bool [Q], the network's.
    """

    crops: MaskedBalls
    xyz: NDArray[np.float32]
    crop: NDArray[np.int64]
    voxel_xyz: NDArray[np.float32]
    occupied: NDArray[np.bool_]
    answer: NDArray[np.bool_]


@torch.no_grad()
def answer_hidden(
    student: Student, config: IsccConfig, full: View, stored: Queries, rng: np.random.Generator
) -> HiddenAnswers:
    """Hide crops of a view, and ask the student, in evaluation mode, the stored queries inside them.

    As many crops as in training, or the default where nothing was hidden in training.
    """
    hiding = replace(config.masking, per_sweep=config.masking.per_sweep or MaskingConfig().per_sweep)
    crops = draw_masked_balls(full, hiding, rng)
    view = full.select(crops.visible)
    voxels = voxelize(view.xyz, view.intensity, config.model.voxel_size)
    asked = sample_queries(stored, view.view_T_sensor, voxels, config.occupancy, rng)
    h = voxel_features(student.encoder, voxels)
    logit = student.decoder(h, torch.from_numpy(asked.voxel), torch.from_numpy(asked.offset)).numpy()
    crop = crops.containing(asked.xyz, asked.group)
    hidden = np.flatnonzero(crop >= 0)
    voxel_xyz = voxels.xyz[asked.voxel[hidden]]
    return HiddenAnswers(crops, asked.xyz[hidden], crop[hidden], voxel_xyz, asked.occupied[hidden], logit[hidden] > 0)
