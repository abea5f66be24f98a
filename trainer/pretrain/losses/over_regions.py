"""The mean of a loss over regions, of which each may have several rows."""

from __future__ import annotations

import torch
from torch import Tensor


def mean_over_regions(each: Tensor, region: Tensor) -> Tensor:
    """Average over regions the mean over their rows; 0 without any.

    Args:
        each: float [R], the loss of each row.
        region: int64 [R], its region.
    """
    if len(each) == 0:
        return each.sum()
    weight = 1 / torch.bincount(region)[region].to(each.dtype)
    return (weight * each).sum() / weight.sum()
