"""Implicit Surface Contrastive Clustering (Zhang, Bai, Li; CVPR 2023), in the order of docs/method.md.

Groups of points are clustered by what a teacher says of them in another sweep; hidden surface is told from free space.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from iscc_lidar.trainer.hardware.distributed import all_gather_rows, own_slice
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.losses.global_clustering import global_loss
from iscc_lidar.trainer.pretrain.losses.local_contrast import local_loss
from iscc_lidar.trainer.pretrain.losses.occupancy import occupancy_accuracy, occupancy_loss
from iscc_lidar.trainer.pretrain.losses.prototypes import Prototypes
from iscc_lidar.trainer.pretrain.methods.common import cached_groups, cosines, scenes_of_all_ranks, teacher_features
from iscc_lidar.trainer.pretrain.methods.method import Loss, Method, StepResult
from iscc_lidar.trainer.pretrain.samples.batch import Batch
from iscc_lidar.trainer.pretrain.samples.ground_cells import add_ground_cells
from iscc_lidar.trainer.pretrain.samples.regions import Pair, Regions
from iscc_lidar.trainer.pretrain.student import GroupEncoder, Student

# Dimensions: K regions of this process, A regions of all processes, C prototypes, E projected channels, Q queries.


def groups_and_ground(config: PretrainConfig, pair: Pair, rng: np.random.Generator) -> Regions:
    """The groups of the cache that both views see enough of, and cells of the ground."""
    groups = cached_groups(config, pair, rng)
    return add_ground_cells(groups, pair, config.data.min_group_points, config.ground, rng)


def new_prototypes(config: PretrainConfig) -> Prototypes:
    """F_g at its start."""
    return Prototypes(config.clustering, config.heads.project_channels, config.train.seed)


def iscc_step(
    student: nn.Module, teacher: GroupEncoder, prototypes: Prototypes, batch: Batch, config: PretrainConfig
) -> StepResult:
    """Compute the three losses of a batch; F_g is to be refreshed with f2 [A, E] and its assignment [A, C]."""
    f1, occupied = student(batch)
    f2 = all_gather_rows(teacher_features(teacher, batch))
    scene, ground = scenes_of_all_ranks(batch), all_gather_rows(batch.ground)
    y = prototypes.assign(f2)

    same, weight = batch.region_of_part + own_slice(len(batch.scene)).start, config.loss
    loss_global = global_loss(f1, prototypes.centres, y, prototypes.config.temperature, same)
    loss_local = local_loss(f1, f2, scene, config.local, same, ground)
    loss_occupancy = occupancy_loss(occupied, batch.occupied)

    health = agreement(all_gather_rows(f1.detach()), f2, all_gather_rows(same), prototypes)
    asked = all_gather_rows(batch.occupied)
    health |= occupancy_accuracy(all_gather_rows(occupied.detach()), asked)
    health["queries"] = torch.tensor(float(len(asked)))
    losses = {
        "loss_global": Loss(loss_global, weight=weight.global_weight),
        "loss_local": Loss(loss_local, weight=weight.local_weight),
        "loss_occupancy": Loss(loss_occupancy, "queries", weight.occupancy_weight),
    }
    return StepResult(losses, (f2, y), health)


@torch.no_grad()
def agreement(f1: Tensor, f2: Tensor, same: Tensor, prototypes: Prototypes) -> dict[str, Tensor]:
    """Signs of collapse, with those of ``cosines`` and from the same.

    Returns:
        prototypes_used: prototypes that are nearest to some recent teacher feature.
        agreement: share of groups' parts for which student and teacher have the same nearest prototype.
    """
    agree = (f1 @ prototypes.centres.T).argmax(1) == (f2 @ prototypes.centres.T).argmax(1)[same]
    return {"prototypes_used": prototypes.used(), "agreement": agree.float().mean(), **cosines(f1, f2, same)}


METHOD: Final = Method(
    title="ISCC",
    about="Implicit Surface Contrastive Clustering (Zhang, Bai, Li; CVPR 2023)",
    region="group",
    regions=groups_and_ground,
    student=Student,
    memory=new_prototypes,
    step=iscc_step,
)
