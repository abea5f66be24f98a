"""Contrast against a queue of earlier teacher features (MoCo: He et al., CVPR 2020): SegContrast, DepthContrast."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from iscc_lidar.shared.base.config import check_ranges, option, section
from iscc_lidar.trainer.hardware.distributed import all_gather_rows, own_slice
from iscc_lidar.trainer.pretrain.config import SingleSweepConfig
from iscc_lidar.trainer.pretrain.losses.features import teacher_features
from iscc_lidar.trainer.pretrain.losses.memory import Memory, push
from iscc_lidar.trainer.pretrain.losses.over_regions import mean_over_regions
from iscc_lidar.trainer.pretrain.samples.batch import Batch
from iscc_lidar.trainer.pretrain.student import GroupEncoder
from iscc_lidar.trainer.pretrain.teacher import TeacherConfig
from iscc_lidar.trainer.run.learner import BatchResult, LossTerm

# Dimensions: K regions of this process, A of all processes, R rows of the queue, E projected channels.


@dataclass(frozen=True)
class QueueConfig:
    """InfoNCE against a queue."""

    temperature: float = option(0.1, "tau of InfoNCE [SegContrast, DepthContrast]", at_least=1e-6, at_most=1e6)
    size: int = option(65_536, "latest teacher features that are negatives [both papers]", at_least=1, at_most=10**7)

    def __post_init__(self) -> None:
        check_ranges(self, "queue")


@dataclass(frozen=True)
class QueueMethodConfig(SingleSweepConfig):
    """Options of a method with a queue."""

    queue: QueueConfig = section(QueueConfig)
    # Constant, as published: features in the queue should be those of one network.
    teacher: TeacherConfig = section(TeacherConfig, momentum_start=0.999, momentum_end=0.999)


class Queue(Memory):
    """The latest teacher features; it starts empty rather than random, so that no negative is invented."""

    rows: Tensor
    filled: Tensor
    cursor: Tensor

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(size, channels))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))
        self.register_buffer("cursor", torch.zeros((), dtype=torch.int64))

    def negatives(self) -> Tensor:
        """Return the rows that hold a feature, [<= R, E]."""
        return self.rows[: int(self.filled)]

    def refresh(self, f2: Tensor) -> None:
        """Write teacher features [A, E] over the oldest ones."""
        push(self.rows, self.filled, self.cursor, f2)


def new_queue(config: QueueMethodConfig) -> Queue:
    """Make an empty queue."""
    return Queue(config.queue.size, config.heads.project_channels)


def queue_losses(
    student: nn.Module, teacher: GroupEncoder, queue: Queue, batch: Batch, config: QueueMethodConfig
) -> BatchResult:
    """Contrast a region's two features against the queue, which is refreshed with all processes' teacher features.

    The others of ``cosine_others`` are the queue's rows; ``guessing`` is the loss for uninformative features.
    """
    f1 = student(batch)
    f2 = teacher_features(teacher, batch)
    negatives = queue.negatives()
    loss = queue_loss(f1, f2, negatives, config.queue.temperature, batch.region_of_row)

    with torch.no_grad():
        all1, all2 = all_gather_rows(f1.detach()), all_gather_rows(f2)
        same = all_gather_rows(batch.region_of_row + own_slice(len(batch.scene)).start)
        figures = {
            "cosine_same": (all1 * all2[same]).sum(dim=1).mean(),
            "cosine_others": all1.mean(dim=0) @ negatives.mean(dim=0),  # the mean over all pairs
            "groups": torch.tensor(float(len(all2))),
            "guessing": torch.tensor(1.0 + len(negatives)).log(),
            "queue_filled": torch.tensor(len(negatives) / len(queue.rows)),
        }
    return BatchResult({"loss_contrast": LossTerm(loss, "regions")}, figures, (all2,))


def queue_loss(f1: Tensor, f2: Tensor, negatives: Tensor, temperature: float, region: Tensor) -> Tensor:
    """Compute InfoNCE of each region's student feature to its teacher feature, against the queue.

    Args:
        f1: float [R, E], unit rows, student, of regions or their voxel samples.
        f2: float [K, E], unit rows, teacher, of the regions, without gradient.
        negatives: float [R, E], unit rows, without gradient; may be empty.
        temperature: tau.
        region: int64 [R], the row of f2 that is the region of each of f1.

    Returns:
        Mean over regions, scalar; 0 without regions.
    """
    if len(f1) == 0:
        return f1.sum()
    same = (f1 * f2[region]).sum(dim=1, keepdim=True)
    logits = torch.cat([same, f1 @ negatives.T], dim=1) / temperature
    each = functional.cross_entropy(logits, torch.zeros_like(region), reduction="none")
    return mean_over_regions(each, region)
