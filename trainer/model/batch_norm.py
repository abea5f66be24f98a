"""Batch normalisation with the statistics of the whole batch, over all processes of the run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from iscc_lidar.trainer.hardware.distributed import sum_over_ranks, world_size

# N rows of this process, C channels

_recomputing: ContextVar[bool] = ContextVar("recomputing", default=False)


class BatchNorm(nn.BatchNorm1d):
    """``nn.BatchNorm1d`` on [N, C] that in training mode normalises by mean and variance of all processes' rows."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the rows [N, C]."""
        if not self.training:
            return super().forward(x)
        if world_size() > 1:
            y, mean, variance, count = _normalise_synced(x, self.weight, self.bias, self.eps)
            if not _recomputing.get():
                self._update_statistics(mean, variance * count / (count - 1))
            return y
        if _recomputing.get():
            copies = self.running_mean.clone(), self.running_var.clone()  # updated instead of the originals
            return functional.batch_norm(x, *copies, self.weight, self.bias, training=True, eps=self.eps)
        return super().forward(x)

    @torch.no_grad()
    def _update_statistics(self, mean: Tensor, unbiased_variance: Tensor) -> None:
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
        self.running_var.lerp_(unbiased_variance.to(self.running_var), self.momentum)


def recomputation() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Return the contexts of a checkpointed pass and its recomputation, which leaves running statistics unchanged."""
    return nullcontext(), _repeated()


@contextmanager
def _repeated() -> Iterator[None]:
    token = _recomputing.set(True)
    try:
        yield
    finally:
        _recomputing.reset(token)


def _normalise_synced(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the normalised rows, and mean [C], variance [C] and number of rows over all processes."""
    wide = x.detach() if x.dtype is torch.float64 else x.detach().float()
    sums = sum_over_ranks(torch.cat([wide.sum(0), wide.new_tensor([len(wide)])]))
    count = sums[-1]
    if count < 2:
        raise ValueError("batch normalisation needs at least two voxels over all processes; the batch is nearly empty")
    mean = sums[:-1] / count
    variance = sum_over_ranks((wide - mean).square().sum(0)) / count
    y: Tensor = _Normalise.apply(x, weight, bias, mean, (variance + eps).rsqrt(), count)  # type: ignore[no-untyped-call]
    return y, mean, variance, count


class _Normalise(torch.autograd.Function):
    """(x - mean) / deviation * weight + bias, with the gradient through the statistics of all processes.

    The gradient is that of Ioffe and Szegedy (2015), with its two sums over all processes.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, inverse_deviation: Tensor, count: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, inverse_deviation, count)
        return torch.addcmul(bias, x - mean, inverse_deviation * weight).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        x, weight, mean, inverse_deviation, count = ctx.saved_tensors
        grad = grad_y.to(mean.dtype)
        normal = (x - mean) * inverse_deviation
        grad_bias, grad_weight = grad.sum(0), (grad * normal).sum(0)
        sum_bias, sum_weight = sum_over_ranks(torch.stack([grad_bias, grad_weight])) / count
        grad_x = (grad - sum_bias - normal * sum_weight) * (inverse_deviation * weight)
        return grad_x.to(x.dtype), grad_weight, grad_bias, None, None, None
