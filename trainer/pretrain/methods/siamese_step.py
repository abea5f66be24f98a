"""The step of methods that contrast both views' features by one network, with gradient: PointContrast and SSPL."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from iscc_lidar.trainer.hardware.distributed import all_gather_rows, all_gather_rows_with_grad, own_slice
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.losses.local_contrast import LocalConfig, local_loss
from iscc_lidar.trainer.pretrain.losses.memory import Memory
from iscc_lidar.trainer.pretrain.methods.common import cosines, scenes_of_all_ranks
from iscc_lidar.trainer.pretrain.methods.method import Loss, StepResult
from iscc_lidar.trainer.pretrain.samples.batch import Batch
from iscc_lidar.trainer.pretrain.student import GroupEncoder

# Dimensions: A regions of all processes, E projected channels.


def no_memory(_: PretrainConfig) -> Memory:
    """Nothing is kept."""
    return Memory()


def siamese_step(student: nn.Module, _: GroupEncoder, __: Memory, batch: Batch, config: PretrainConfig) -> StepResult:
    """Compute the loss of a batch: InfoNCE from each region's first feature to its second, against other regions.

    ``guessing`` is what the loss is for features that tell nothing.
    """
    f1, own2 = student(batch)
    f2 = all_gather_rows_with_grad(own2)
    scene = scenes_of_all_ranks(batch)
    options = LocalConfig(config.method.temperature, config.method.negatives)
    same = batch.region_of_part + own_slice(len(batch.scene)).start
    loss = local_loss(f1, f2, scene, options, same)

    health = cosines(all_gather_rows(f1.detach()), f2.detach(), all_gather_rows(same))
    health["guessing"] = _guessing(scene, options)
    return StepResult({"loss_contrast": Loss(loss)}, (), health)


def _guessing(scene: Tensor, options: LocalConfig) -> Tensor:
    """Mean logarithm of how many regions each one is told from, itself counted; ``scene`` is int64 [A]."""
    if options.negatives == "batch":
        return torch.tensor(float(len(scene))).log()
    return torch.bincount(scene)[scene].double().log().mean()
