"""Global clustering: student groups must choose the prototypes that the teacher's were assigned to."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from iscc_lidar.trainer.pretrain.losses.over_regions import mean_over_regions


def global_loss(f1: Tensor, prototypes: Tensor, target: Tensor, temperature: float, region: Tensor) -> Tensor:
    """Compute cross-entropy -sum_c y_c log p_c with p = softmax(f1 . F_g / tau) [authors].

    Args:
        f1: float [R, D], unit rows, student, of groups or their voxel samples.
        prototypes: float [C, D], unit rows F_g, without gradient.
        target: float [K, C], rows y that sum to one.
        temperature: tau.
        region: int64 [R], the row of target that is the group of each of f1.

    Returns:
        Mean over groups, scalar; 0 without groups.
    """
    each = functional.cross_entropy(f1 @ prototypes.T / temperature, target[region], reduction="none")
    return mean_over_regions(each, region)
