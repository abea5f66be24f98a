"""What a method keeps from step to step besides its networks, and the ring buffer of features in it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

# Dimensions: R rows of the ring, N new rows, D feature channels.


class Memory(nn.Module):
    """State of a method: buffers only, so that a checkpoint holds it all. This one keeps nothing."""

    def refresh(self, *args: Any, **kwargs: Any) -> None:
        """Store what a step returned to be remembered: rows of all its micro-batches and of all processes."""


@torch.no_grad()
def push(ring: Tensor, filled: Tensor, cursor: Tensor, rows: Tensor) -> None:
    """Write rows [N, D] over the oldest of a ring [R, D], in place.

    Args:
        ring: the buffer; its first ``filled`` rows are in use.
        filled: int64 scalar, their number.
        cursor: int64 scalar, where the next row goes.
        rows: the newest last.
    """
    size = len(ring)
    newest = rows[-size:]
    place = (int(cursor) + torch.arange(len(newest), device=rows.device)) % size
    ring[place] = newest
    cursor.copy_((cursor + len(newest)) % size)
    filled.copy_((filled + len(newest)).clamp(max=size))
