"""What one ISCC step computes on a batch, in the order of the method: two views in, losses and health figures out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from iscc_lidar.shared.config import option
from iscc_lidar.trainer.data.batch import Batch
from iscc_lidar.trainer.hardware.ranks import rank, rows_of_all_ranks
from iscc_lidar.trainer.losses.global_clustering import global_loss
from iscc_lidar.trainer.losses.local_contrast import LocalConfig, local_loss
from iscc_lidar.trainer.losses.occupancy import occupancy_accuracy, occupancy_loss
from iscc_lidar.trainer.losses.prototypes import Prototypes
from iscc_lidar.trainer.model.student import GroupEncoder

# Dimensions: K groups of this process, A groups of all processes, C prototypes, E projected channels, Q queries.


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
    """Outcome of a batch.

    Attributes:
        loss_global, loss_local, loss_occupancy: scalars with gradient, means over this process's groups and queries.
        f2: float [A, E], teacher features; target: float [A, C], their assignment: what F_g is refreshed with.
        health: figures over all processes, scalars without gradient.
    """

    loss_global: Tensor
    loss_local: Tensor
    loss_occupancy: Tensor
    f2: Tensor
    target: Tensor
    health: dict[str, Tensor]


def iscc_step(
    student: nn.Module, teacher: GroupEncoder, prototypes: Prototypes, batch: Batch, local: LocalConfig
) -> StepResult:
    """Compute the losses of a batch. Changes nothing but batch-norm statistics."""
    f1, occupied = student(batch)
    with torch.no_grad():
        h2 = teacher.voxel_features(batch.view2)
        f2 = rows_of_all_ranks(teacher.group_features(h2, batch.view2, len(batch.scene)))
        scene = rows_of_all_ranks(batch.scene + rank() * len(batch.names))
        y = prototypes.assign(f2)

    mine = _rows_of_this_process(len(f1))
    loss_global = global_loss(f1, prototypes.centres, y[mine], prototypes.config.temperature)
    loss_local = local_loss(f1, f2, scene, local, first=mine.start)
    loss_occupancy = occupancy_loss(occupied, batch.occupied)

    health = agreement(rows_of_all_ranks(f1.detach()), f2, prototypes)
    asked = rows_of_all_ranks(batch.occupied)
    health |= occupancy_accuracy(rows_of_all_ranks(occupied.detach()), asked)
    health["queries"] = torch.tensor(float(len(asked)))
    return StepResult(loss_global, loss_local, loss_occupancy, f2, y, health)


def _rows_of_this_process(count: int) -> slice:
    before = rows_of_all_ranks(torch.tensor([count]))[: rank()]
    first = int(before.sum())
    return slice(first, first + count)


@torch.no_grad()
def agreement(f1: Tensor, f2: Tensor, prototypes: Prototypes) -> dict[str, Tensor]:
    """Signs of collapse.

    Returns:
        prototypes_used: prototypes that are nearest to some recent teacher feature.
        agreement: share of groups for which student and teacher have the same nearest prototype.
        cosine_same: mean similarity of a group's two features; cosine_others: of different groups' features.
            Where both are near 1, all features are the same.
        groups: number of groups.
    """
    same = (f1 @ prototypes.centres.T).argmax(1) == (f2 @ prototypes.centres.T).argmax(1)
    similarity = f1 @ f2.T
    trace = similarity.diagonal().sum()
    return {
        "prototypes_used": prototypes.used(),
        "agreement": same.float().mean(),
        "cosine_same": trace / len(f1),
        "cosine_others": (similarity.sum() - trace) / (similarity.numel() - len(f1)),
        "groups": torch.tensor(float(len(f1))),
    }
