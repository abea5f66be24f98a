"""Ranks and collective operations of a run's processes, as torchrun starts them.

Without torchrun there is one process, and nothing here communicates.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.parallel import DistributedDataParallel

from iscc_lidar.shared.base.errors import UserError

_TIMEOUT: Final = timedelta(minutes=10)  # of a process that waits for the others
_FAILED: Final = -1


def world_size() -> int:
    """Return the number of processes of the run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return this process's rank, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_main() -> bool:
    """Return whether this process writes files and shows progress."""
    return rank() == 0


def is_first_process() -> bool:
    """Return whether this process prints what all would print; also before the process group exists."""
    return os.environ.get("RANK", "0") == "0"


def local_rank() -> int:
    """Return this process's rank on its machine, the index of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the process group of torchrun; if one process dies, the others end with a UserError."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_TIMEOUT)
    try:
        yield
    except RuntimeError as error:
        if not _lost_another(error):
            raise
        raise UserError(
            f"process {rank()}: another process of this run has ended ({str(error).splitlines()[0]}). Its own message, "
            "if there is one, is above. The last checkpoint is intact: continue from it with --resume"
        ) from None
    finally:
        dist.destroy_process_group()


def broadcast_from_main(decide: Callable[[], int]) -> int:
    """Return rank 0's result, a number >= 0, on all ranks; if it raises there, the others exit silently."""
    if world_size() == 1:
        return decide()
    result = torch.tensor(_FAILED, device=_device())
    try:
        if is_main():
            result.fill_(decide())
    finally:
        dist.broadcast(result, src=0)
    if int(result) == _FAILED:
        raise SystemExit(1)
    return int(result)


def max_over_ranks(value: int) -> int:
    """Return the largest value of all ranks, on all of them."""
    if world_size() == 1:
        return value
    largest = torch.tensor(value, device=_device())
    dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    return int(largest)


def sum_over_ranks(values: Tensor) -> Tensor:
    """Return the sum of a tensor over all ranks, without gradient."""
    if world_size() == 1:
        return values
    total = values.detach().clone()
    dist.all_reduce(total)
    return total


def all_gather_rows(rows: Tensor) -> Tensor:
    """Concatenate the rows [N_r, ...] of every rank r, in order of rank: [sum N_r, ...], without gradient."""
    if world_size() == 1:
        return rows
    rows = rows.detach()
    counts = [0] * world_size()
    counts[rank()] = len(rows)
    counts = sum_over_ranks(torch.tensor(counts, device=rows.device)).tolist()
    padded = rows.new_zeros(max(counts), *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def own_slice(count: int) -> slice:
    """Return the position of this rank's ``count`` rows in the result of all_gather_rows."""
    if world_size() == 1:
        return slice(0, count)
    first = int(all_gather_rows(torch.tensor([count], device=_device()))[: rank()].sum())
    return slice(first, first + count)


def all_gather_rows_with_grad(rows: Tensor) -> Tensor:
    """Concatenate rows like all_gather_rows, with a gradient from every rank's loss to the rank of the rows.

    All ranks must take part in the backward pass.
    """
    if world_size() == 1:
        return rows
    gathered: Tensor = _Gathered.apply(rows)  # type: ignore[no-untyped-call]
    return gathered


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.own = own_slice(len(rows))
        return all_gather_rows(rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return sum_over_ranks(grad.contiguous())[ctx.own]


def wrap_ddp(network: nn.Module) -> nn.Module:
    """Wrap a network in DistributedDataParallel, so that gradients become their mean over the ranks."""
    if world_size() == 1:
        return network
    with warnings.catch_warnings():
        # The replacement of broadcast_buffers is too new.
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
        return DistributedDataParallel(network, broadcast_buffers=False)


def no_sync(network: nn.Module, keep: bool) -> AbstractContextManager[None]:
    """Return a context in which, if ``keep``, backward passes add up gradients on this rank without synchronising."""
    if keep and isinstance(network, DistributedDataParallel):
        return network.no_sync()
    return nullcontext()


def _device() -> torch.device:
    return torch.device("cuda", local_rank()) if dist.get_backend() == "nccl" else torch.device("cpu")


def _lost_another(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or "gloo" in str(error)
