"""The step of methods that contrast a region's two features against a queue: SegContrast and DepthContrast."""

from __future__ import annotations

import torch
from torch import nn

from iscc_lidar.trainer.hardware.distributed import all_gather_rows, own_slice
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.losses.queue import Queue, queue_loss
from iscc_lidar.trainer.pretrain.methods.common import teacher_features
from iscc_lidar.trainer.pretrain.methods.method import Loss, StepResult
from iscc_lidar.trainer.pretrain.samples.batch import Batch
from iscc_lidar.trainer.pretrain.student import GroupEncoder


def new_queue(config: PretrainConfig) -> Queue:
    """An empty queue."""
    return Queue(config.method.queue, config.heads.project_channels)


def queue_step(
    student: nn.Module, teacher: GroupEncoder, queue: Queue, batch: Batch, config: PretrainConfig
) -> StepResult:
    """Compute the loss of a batch; the queue is to be refreshed with the teacher features of all processes.

    The others of ``cosine_others`` are the queue's rows; ``guessing`` is what the loss is for features that tell
    nothing.
    """
    f1 = student(batch)
    f2 = teacher_features(teacher, batch)
    negatives = queue.negatives()
    loss = queue_loss(f1, f2, negatives, config.method.temperature, batch.region_of_part)

    with torch.no_grad():
        all1, all2 = all_gather_rows(f1.detach()), all_gather_rows(f2)
        same = all_gather_rows(batch.region_of_part + own_slice(len(batch.scene)).start)
        health = {
            "cosine_same": (all1 * all2[same]).sum(dim=1).mean(),
            "cosine_others": all1.mean(dim=0) @ negatives.mean(dim=0),  # the mean over all pairs
            "groups": torch.tensor(float(len(all2))),
            "guessing": torch.tensor(1.0 + len(negatives)).log(),
            "queue_filled": torch.tensor(len(negatives) / len(queue.rows)),
        }
    return StepResult({"loss_contrast": Loss(loss)}, (all2,), health)
