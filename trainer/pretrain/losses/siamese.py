"""Contrast of both views' features by one network, with gradient: PointContrast and SSPL."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from iscc_lidar.shared.base.config import check_ranges, option, section
from iscc_lidar.trainer.hardware.distributed import all_gather_rows, all_gather_rows_with_grad, own_slice
from iscc_lidar.trainer.pretrain.config import SingleSweepConfig
from iscc_lidar.trainer.pretrain.losses.features import cosines, scenes_of_all_ranks
from iscc_lidar.trainer.pretrain.losses.local_contrast import LocalConfig, local_loss
from iscc_lidar.trainer.pretrain.losses.memory import Memory
from iscc_lidar.trainer.pretrain.samples.batch import Batch
from iscc_lidar.trainer.pretrain.student import GroupEncoder
from iscc_lidar.trainer.run.learner import BatchResult, LossTerm

# Dimensions: A regions of all processes.


@dataclass(frozen=True)
class ContrastConfig(LocalConfig):
    """InfoNCE over regions of both views."""

    matches: int = option(
        1024,
        "regions per pair of views at most, drawn at random; PointContrast: 4,096 per batch of 4; cost grows with its "
        "square [ours]",
        at_least=1,
        at_most=10**6,
    )

    def __post_init__(self) -> None:
        check_ranges(self, "contrast")


@dataclass(frozen=True)
class SiameseConfig(SingleSweepConfig):
    """Options of a method whose regions are places in one sweep."""

    contrast: ContrastConfig = section(ContrastConfig, negatives="batch")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.data.partner != "same":
            raise ValueError(f"method.name={self.method.name} matches places in one sweep: set data.partner=same")


def siamese_losses(student: nn.Module, _: GroupEncoder, __: Memory, batch: Batch, config: SiameseConfig) -> BatchResult:
    """Compute InfoNCE from each region's first feature to its second, against other regions.

    ``guessing`` is the loss for uninformative features.
    """
    f1, own2 = student(batch)
    f2 = all_gather_rows_with_grad(own2)
    scene = scenes_of_all_ranks(batch)
    same = batch.region_of_row + own_slice(len(batch.scene)).start
    loss = local_loss(f1, f2, scene, config.contrast, same)

    figures = cosines(all_gather_rows(f1.detach()), f2.detach(), all_gather_rows(same))
    figures["guessing"] = _guessing(scene, config.contrast)
    return BatchResult({"loss_contrast": LossTerm(loss, "regions")}, figures)


def _guessing(scene: Tensor, options: LocalConfig) -> Tensor:
    """Return the mean logarithm of how many regions each one is distinguished from, itself counted.

    ``scene`` is int64 [A].
    """
    if options.negatives == "batch":
        return torch.tensor(float(len(scene))).log()
    return torch.bincount(scene)[scene].double().log().mean()
