"""The processes of one run, as torchrun starts them: who am I, and what do all of us have together.

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

PATIENCE: Final = timedelta(minutes=10)
"""How long a process waits for the others before it gives the run up."""
_FAILED: Final = -1


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_main() -> bool:
    """Whether this process writes files and shows progress."""
    return rank() == 0


def is_first_process() -> bool:
    """Whether this is the one that tells what all of them would tell, joined or not."""
    return os.environ.get("RANK", "0") == "0"


def local_rank() -> int:
    """Which of this machine's processes this is: the number of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the processes that torchrun started; a process that dies ends the others with a UserError."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield
    except RuntimeError as error:
        if not _lost_another(error):
            raise
        raise UserError(
            f"process {rank()}: another process of this run has ended ({str(error).splitlines()[0]}). Its own message, "
            "if it had time for one, stands above. The last checkpoint is whole: go on from it with --resume"
        ) from None
    finally:
        dist.destroy_process_group()


def broadcast_from_main(decide: Callable[[], int]) -> int:
    """Let the main process decide on a number >= 0 for all; where it raises, the others end without a word."""
    if world_size() == 1:
        return decide()
    answer = torch.tensor(_FAILED, device=_device())
    try:
        if is_main():
            answer.fill_(decide())
    finally:
        dist.broadcast(answer, src=0)
    if int(answer) == _FAILED:
        raise SystemExit(1)
    return int(answer)


def max_over_ranks(value: int) -> int:
    """The largest of all processes' values; all get the same answer, at the same step."""
    if world_size() == 1:
        return value
    largest = torch.tensor(value, device=_device())
    dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    return int(largest)


def sum_over_ranks(values: Tensor) -> Tensor:
    """Sum of a tensor over all processes; no gradient."""
    if world_size() == 1:
        return values
    total = values.detach().clone()
    dist.all_reduce(total)
    return total


def all_gather_rows(rows: Tensor) -> Tensor:
    """Rows [N_r, ...] of every process r, in order of the processes, [sum N_r, ...]; no gradient."""
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
    """Where the rows of this process, ``count`` in number, lie among those of all."""
    if world_size() == 1:
        return slice(0, count)
    first = int(all_gather_rows(torch.tensor([count], device=_device()))[: rank()].sum())
    return slice(first, first + count)


def all_gather_rows_with_grad(rows: Tensor) -> Tensor:
    """``all_gather_rows`` with gradient: every process's loss reaches the rows of the process that made them.

    All processes must take part in the backward pass.
    """
    if world_size() == 1:
        return rows
    gathered: Tensor = _Gathered.apply(rows)  # type: ignore[no-untyped-call]
    return gathered


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.mine = own_slice(len(rows))
        return all_gather_rows(rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return sum_over_ranks(grad.contiguous())[ctx.mine]


def wrap_ddp(network: nn.Module) -> nn.Module:
    """The network as all processes train it: gradients become their mean over the processes."""
    if world_size() == 1:
        return network
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "`broadcast_buffers` is deprecated", FutureWarning
        )  # its successor is too new
        return DistributedDataParallel(network, broadcast_buffers=False)


def no_sync(network: nn.Module, keep: bool) -> AbstractContextManager[None]:
    """Context in which a backward pass adds to this process's gradients without exchanging them."""
    if keep and isinstance(network, DistributedDataParallel):
        return network.no_sync()
    return nullcontext()


def _device() -> torch.device:
    return torch.device("cuda", local_rank()) if dist.get_backend() == "nccl" else torch.device("cpu")


def _lost_another(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or "gloo" in str(error)
