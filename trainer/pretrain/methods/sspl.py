"""SSPL (Zhang, Bai, Li: Self-Supervised Pretraining for Large-Scale Point Clouds; NeurIPS 2022), a reconstruction.

It was made from the paper's abstract and from what ISCC's slides say of it: contrast of points pooled by volume, at
the scale of outdoor scenes. Cubes, their pooling and the loss are our choice; figures of this are not the authors'.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.trainer.data.augment import View, apply_affine
from iscc_lidar.trainer.data.voxelize import shared_groups
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.methods.method import Method
from iscc_lidar.trainer.pretrain.methods.siamese_step import no_memory, siamese_step
from iscc_lidar.trainer.pretrain.samples.cells import number_cells
from iscc_lidar.trainer.pretrain.samples.regions import Pair, Regions, no_ground
from iscc_lidar.trainer.pretrain.student import TwoViewStudent


def shared_volumes(config: PretrainConfig, pair: Pair, rng: np.random.Generator) -> Regions:
    """Cut the sweep into cubes from a random corner on, ground included; draw some that both views see enough of."""
    edge_m = config.method.volume_m
    xyz1, xyz2 = (_in_sensor_frame(view) for view in (pair.view1, pair.view2))
    label1, label2 = number_cells(xyz1, xyz2, rng.random(3) * edge_m, edge_m)
    shared = shared_groups(label1, label2, config.data.min_group_points)
    return no_ground(label1, label2, np.sort(rng.permutation(shared)[: config.method.matches]))


def _in_sensor_frame(view: View) -> NDArray[np.float32]:
    """Points [N, 3] in the sensor's frame, which both views share."""
    return apply_affine(np.linalg.inv(view.view_T_sensor).astype(np.float64), view.xyz)


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
