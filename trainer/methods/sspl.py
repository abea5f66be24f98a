"""SSPL (Zhang, Bai, Li: Self-Supervised Pretraining for Large-Scale Point Clouds; NeurIPS 2022), a reconstruction.

It was made from the paper's abstract and from what ISCC's slides say of it: contrast of points pooled by volume, at
the scale of outdoor scenes. Cubes, their pooling and the loss are our choice; figures of this are not the authors'.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.trainer.config import PretrainConfig
from iscc_lidar.trainer.data.augment import View, apply_affine
from iscc_lidar.trainer.data.regions import Pair, Regions
from iscc_lidar.trainer.data.voxelize import shared_groups
from iscc_lidar.trainer.methods.method import Method
from iscc_lidar.trainer.methods.siamese_step import no_memory, siamese_step
from iscc_lidar.trainer.model.student import TwoViewStudent


def shared_volumes(config: PretrainConfig, pair: Pair, rng: np.random.Generator) -> Regions:
    """Cut the sweep into cubes from a random corner on, ground included; draw some that both views see enough of."""
    corner = rng.random(3) * config.method.volume_m
    cells = [_cells(view, corner, config.method.volume_m) for view in (pair.view1, pair.view2)]
    _, number = np.unique(np.concatenate(cells), axis=0, return_inverse=True)
    label1, label2 = np.split(number.reshape(-1).astype(np.int32), [len(cells[0])])
    shared = shared_groups(label1, label2, config.data.min_group_points)
    return Regions(label1, label2, np.sort(rng.permutation(shared)[: config.method.matches]))


def _cells(view: View, corner: NDArray[np.float64], edge_m: float) -> NDArray[np.int64]:
    """The cube [N, 3] of each point, counted in the sensor's frame, which both views share."""
    sensor_T_view = np.linalg.inv(view.view_T_sensor).astype(np.float64)
    xyz = apply_affine(sensor_T_view, view.xyz)
    return np.floor((xyz + corner) / edge_m).astype(np.int64)


METHOD: Final = Method(
    title="SSPL",
    about="SSPL (Zhang, Bai, Li; NeurIPS 2022), reconstructed from its abstract",
    region="volume",
    regions=shared_volumes,
    student=TwoViewStudent,
    memory=no_memory,
    step=siamese_step,
    has_teacher=False,
)
