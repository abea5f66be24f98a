"""A batch in one piece: tensors end to end in one buffer, which a process hands on, pins and copies as a whole.

Handed on one by one, fourteen tensors cost the training process 7 ms a batch, more than their bytes do.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from iscc_lidar.trainer.data.batch import Batch, GroupedView

_ALIGNMENT = 64


@dataclass(frozen=True)
class PackedBatch:
    """A batch as one buffer.

    Attributes:
        names: those of the batch.
        layout: type and shape of each tensor, in the order of the fields.
        buffer: uint8, the tensors' bytes, each from a multiple of 64 on.
    """

    names: tuple[tuple[str, str], ...]
    layout: tuple[tuple[torch.dtype, tuple[int, ...]], ...]
    buffer: Tensor

    def to(self, device: torch.device) -> PackedBatch:
        """Copy the buffer to a device; from pinned memory without waiting for it."""
        return dataclasses.replace(self, buffer=self.buffer.to(device, non_blocking=True))

    def pin_memory(self) -> PackedBatch:
        """Move the buffer into memory from which a GPU copies by itself; torch's DataLoader calls this."""
        return dataclasses.replace(self, buffer=self.buffer.pin_memory())


def pack(batch: Batch) -> PackedBatch:
    """Copy a batch's tensors into one buffer."""
    tensors = _tensors(batch)
    layout = tuple((t.dtype, tuple(t.shape)) for t in tensors)
    starts = _starts(layout)
    buffer = torch.empty(starts[-1], dtype=torch.uint8)
    packed = PackedBatch(batch.names, layout, buffer)
    for place, tensor in zip(_views(packed), tensors, strict=True):
        place.copy_(tensor)
    return packed


def unpack(packed: PackedBatch) -> Batch:
    """Make the batch whose tensors are views of the buffer, on its device."""
    views = iter(_views(packed))
    per_view = len(dataclasses.fields(GroupedView))
    view1, view2 = (GroupedView(*(next(views) for _ in range(per_view))) for _ in range(2))
    return Batch(packed.names, view1, view2, *views)


def _tensors(batch: Batch) -> list[Tensor]:
    of_views = [getattr(view, f.name) for view in (batch.view1, batch.view2) for f in dataclasses.fields(view)]
    return [*of_views, batch.scene, batch.neighbour, batch.offset, batch.occupied]


def _views(packed: PackedBatch) -> list[Tensor]:
    starts = _starts(packed.layout)
    return [
        packed.buffer[start : start + dtype.itemsize * math.prod(shape)].view(dtype).view(shape)
        for (dtype, shape), start in zip(packed.layout, starts, strict=False)
    ]


def _starts(layout: tuple[tuple[torch.dtype, tuple[int, ...]], ...]) -> list[int]:
    starts = [0]
    for dtype, shape in layout:
        starts.append(starts[-1] + -(-dtype.itemsize * math.prod(shape) // _ALIGNMENT) * _ALIGNMENT)
    return starts
