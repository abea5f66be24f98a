"""One ISCC training step, in the order of the method: two views in, loss and health figures out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from iscc_lidar.shared.config import option
from iscc_lidar.trainer.data.batch import Batch
from iscc_lidar.trainer.losses.global_clustering import global_loss
from iscc_lidar.trainer.losses.local_contrast import LocalConfig, local_loss
from iscc_lidar.trainer.losses.occupancy import occupancy_accuracy, occupancy_loss
from iscc_lidar.trainer.losses.prototypes import Prototypes
from iscc_lidar.trainer.model.student import GroupEncoder, Student

# Dimensions: K groups, C prototypes, E projected channels, V voxels, D encoder channels, Q queries.


@dataclass(frozen=True)
class LossConfig:
    """Weights of the three losses; 0 leaves one out, which makes the rows of the deck's ablation."""

    global_weight: float = option(1.0, "weight of global clustering")
    local_weight: float = option(1.0, "weight of local contrast")
    occupancy_weight: float = option(
        1.0, "w_o [choice]; at 4 occupancy was no better (.71 of unseen queries) and the linear probe no better"
    )


@dataclass(frozen=True)
class StepResult:
    """Outcome of a step.

    Attributes:
        loss: scalar with gradient.
        parts: the loss, its parts and health figures, scalars without gradient.
        f2: float [K, E], teacher features; target: float [K, C], their assignment: what F_g is refreshed with.
    """

    loss: Tensor
    parts: dict[str, Tensor]
    f2: Tensor
    target: Tensor


def iscc_step(
    student: Student,
    teacher: GroupEncoder,
    prototypes: Prototypes,
    batch: Batch,
    weight: LossConfig,
    local: LocalConfig,
) -> StepResult:
    """Compute L = L_c + w_o L_o on a batch. Changes nothing but batch-norm statistics."""
    groups = len(batch.scene)

    h1 = student.voxel_features(batch.view1)
    f1 = student.group_features(h1, batch.view1, groups)
    with torch.no_grad():
        h2 = teacher.voxel_features(batch.view2)
        f2 = teacher.group_features(h2, batch.view2, groups)
        y = prototypes.assign(f2)

    loss_global = global_loss(f1, prototypes.centres, y, prototypes.config.temperature)
    loss_local = local_loss(f1, f2, batch.scene, local)
    occupied = student.decoder(h1, batch.neighbour, batch.offset)
    loss_occupancy = occupancy_loss(occupied, batch.occupied)
    loss = (
        weight.global_weight * loss_global + weight.local_weight * loss_local + weight.occupancy_weight * loss_occupancy
    )

    losses = {"loss": loss, "loss_global": loss_global, "loss_local": loss_local, "loss_occupancy": loss_occupancy}
    health = agreement(f1, f2, prototypes) | occupancy_accuracy(occupied, batch.occupied)
    counts = {"groups": torch.tensor(groups), "queries": torch.tensor(len(batch.occupied))}
    return StepResult(loss, {k: v.detach() for k, v in (losses | health | counts).items()}, f2, y)


@torch.no_grad()
def agreement(f1: Tensor, f2: Tensor, prototypes: Prototypes) -> dict[str, Tensor]:
    """Signs of collapse.

    Returns:
        prototypes_used: prototypes that are nearest to some recent teacher feature.
        agreement: share of groups for which student and teacher have the same nearest prototype.
        cosine_same: mean similarity of a group's two features; cosine_others: of different groups' features.
            Where both are near 1, all features are the same.
    """
    same = (f1 @ prototypes.centres.T).argmax(1) == (f2 @ prototypes.centres.T).argmax(1)
    similarity = f1 @ f2.T
    trace = similarity.diagonal().sum()
    return {
        "prototypes_used": prototypes.used(),
        "agreement": same.float().mean(),
        "cosine_same": trace / len(f1),
        "cosine_others": (similarity.sum() - trace) / (similarity.numel() - len(f1)),
    }
