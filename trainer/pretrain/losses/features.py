"""Features of regions over all processes, and signs of collapse."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch
from torch import Tensor

from iscc_lidar.trainer.hardware.distributed import all_gather_rows, rank, world_size
from iscc_lidar.trainer.pretrain.samples.batch import Batch
from iscc_lidar.trainer.pretrain.student import GroupEncoder

# Dimensions: K regions of this process, A regions of all processes, E projected channels.


@torch.no_grad()
def teacher_features(teacher: GroupEncoder, batch: Batch) -> Tensor:
    """Compute f2 of the second views, unit rows [K, E]."""
    h2 = teacher.voxel_features(batch.view2)
    return teacher.group_features(h2, batch.view2, len(batch.scene))


def begin_teacher_features(teacher: GroupEncoder, batch: Batch) -> Callable[[], Tensor]:
    """Begin ``teacher_features``; returns a function that waits for them.

    Where an operation runs on one thread of a CPU, as on two cores, another thread computes them while this one
    computes the student's: the same features. Not among several processes, which exchange sums of batch norm in order.
    """
    if batch.view2.feats.device.type != "cpu" or torch.get_num_threads() > 1 or world_size() > 1:
        return lambda: teacher_features(teacher, batch)
    return _second_thread().submit(teacher_features, teacher, batch).result


@cache
def _second_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "teacher", torch.set_num_threads, (1,))


def scenes_of_all_ranks(batch: Batch) -> Tensor:
    """Gather the scene of each region, numbered over all processes, int64 [A]."""
    return all_gather_rows(batch.scene + rank() * len(batch.names))


@torch.no_grad()
def cosines(f1: Tensor, f2: Tensor, same: Tensor) -> dict[str, Tensor]:
    """Measure signs of collapse.

    Args:
        f1: float [R, E], unit rows of the regions' voxel samples in one view.
        f2: float [A, E], unit rows of the regions in the other.
        same: int64 [R], the row of f2 that is the region of each of f1.

    Returns:
        cosine_same: mean similarity of a region's two features; cosine_others: of different regions' features.
            Where both are near 1, all features are the same.
        groups: number of regions.
    """
    similarity = f1 @ f2.T
    trace = similarity.gather(1, same[:, None]).sum()
    return {
        "cosine_same": trace / len(f1),
        "cosine_others": (similarity.sum() - trace) / (similarity.numel() - len(f1)),
        "groups": torch.tensor(float(len(f2))),
    }
