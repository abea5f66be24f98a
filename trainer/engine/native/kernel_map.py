"""Pairs of input and output rows under each kernel offset.

Offsets are numbered as in TorchSparse, so that weights are interchangeable:
``in = out * stride + offset``; kernel 3: ``(dx+1) + 3 (dy+1) + 9 (dz+1)``; kernel 2: ``dz + 2 dy + 4 dx``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor

from iscc_lidar.trainer.engine.coordinates import Coordinates, coarsen
from iscc_lidar.trainer.engine.native import cpu_library
from iscc_lidar.trainer.engine.native.cpu_library import Blocks

CENTRE = 13
"""Index of the zero offset in a kernel of 3, which pairs each voxel with itself."""

# On a CPU a chunk's gathered rows and products should fit the cache and the allocator's arenas (below 32 MB,
# otherwise every call causes the page faults again); a GPU needs few large launches.
_CPU_CHUNK_ROWS = 4096


@dataclass(frozen=True)
class Chunk:
    """The pairs of a range of output rows, grouped by offset and then sorted by output row.

    Attributes:
        start, stop: the output rows.
        sources, targets: int64 [M], input and output row of each pair.
        offset_counts: (offset index, number of pairs) in order; the numbers add up to M.
        by_target: int64 [M], the pairs ordered by output row.
        bag_starts: int64 [stop - start + 1], where each output row's pairs start in by_target.
    """

    start: int
    stop: int
    sources: Tensor
    targets: Tensor
    offset_counts: tuple[tuple[int, int], ...]
    by_target: Tensor
    bag_starts: Tensor


@dataclass(frozen=True, eq=False)
class Pairs:
    """The pairs of a map in any order, without the identity's, and layouts of them that are made on first use.

    Attributes:
        offsets, sources, targets: int32 or int64 [M], offset index, input row and output row.
        n_out: number of output rows.
        n_offsets: number of kernel offsets, K.
        mirror_of: the same rows under opposite offsets, whose layouts are reused.
    """

    offsets: Tensor
    sources: Tensor
    targets: Tensor
    n_out: int
    n_offsets: int
    mirror_of: Pairs | None = None

    def mirrored(self) -> Pairs:
        """Return the same rows under opposite offsets."""
        return self.mirror_of or replace(self, offsets=self.n_offsets - 1 - self.offsets, mirror_of=self)

    @cached_property
    def chunks(self) -> tuple[Chunk, ...]:
        """The pairs in pieces, as plain PyTorch convolves them; see convolution."""
        if self.mirror_of is not None:
            return tuple(_mirrored(chunk, self.n_offsets) for chunk in self.mirror_of.chunks)
        return _chunks(self.offsets.long(), self.sources.long(), self.targets.long(), self.n_out, self.n_offsets)

    @cached_property
    def blocks(self) -> Blocks:
        """Layout for the C kernels."""
        if self.mirror_of is not None:
            return replace(self.mirror_of.blocks, mirrored=True)
        return cpu_library.group_pairs(self.offsets, self.sources, self.targets, self.n_out, self.n_offsets)


@dataclass(frozen=True)
class KernelMap:
    """A convolution's pairs, for its forward pass and its gradient.

    Attributes:
        to_outputs: the pairs as the forward pass sums them.
        to_inputs: the same with input and output swapped, as the gradient of the input sums them.
        n_in, n_out: numbers of rows.
        n_offsets: number of kernel offsets, K.
        has_identity: offset CENTRE pairs every row with itself and is in no layout.
        derived: tables that kernels have made of the pairs, for reuse.
    """

    to_outputs: Pairs
    to_inputs: Pairs
    n_in: int
    n_out: int
    n_offsets: int
    has_identity: bool
    derived: dict[tuple[str, int, int], Any] = field(default_factory=dict, repr=False, compare=False)

    def transposed(self) -> KernelMap:
        """Return the map of the transposed convolution: same offset indices, input and output swapped."""
        swapped = self.to_inputs, self.to_outputs, self.n_out, self.n_in
        return KernelMap(*swapped, self.n_offsets, self.has_identity, self.derived)


class MapCache:
    """Coordinates and kernel maps of one forward pass, made on first use.

    Level 0 is the input's resolution; cells of level l are 2**l times as large.
    """

    def __init__(self, coordinates: Coordinates) -> None:
        self._levels = [coordinates]
        self._parent_rows: list[Tensor] = []
        self._submanifold: dict[int, KernelMap] = {}
        self._downsampling: dict[int, KernelMap] = {}

    def coordinates(self, level: int) -> Coordinates:
        """Return the occupied voxels of a level."""
        while len(self._levels) <= level:
            coarse, parent_row = coarsen(self._levels[-1])
            self._levels.append(coarse)
            self._parent_rows.append(parent_row)
        return self._levels[level]

    def parent_rows(self, level: int) -> Tensor:
        """Return the row on level + 1 of the cell that contains each voxel of a level, int64 [N]."""
        self.coordinates(level + 1)
        return self._parent_rows[level]

    def submanifold(self, level: int) -> KernelMap:
        """Return the map of kernel 3, stride 1, with outputs at the input voxels only."""
        if level not in self._submanifold:
            self._submanifold[level] = _with_layouts(_submanifold_map(self.coordinates(level)))
        return self._submanifold[level]

    def downsampling(self, level: int) -> KernelMap:
        """Return the map of kernel 2, stride 2, from level to level + 1."""
        if level not in self._downsampling:
            n_coarse = len(self.coordinates(level + 1))
            kernel_map = _downsampling_map(self.coordinates(level), self.parent_rows(level), n_coarse)
            self._downsampling[level] = _with_layouts(kernel_map)
        return self._downsampling[level]


def _with_layouts(kernel_map: KernelMap) -> KernelMap:
    # Make the layouts that float32 needs here, so that profiles attribute their time to maps. A GPU needs neither.
    for pairs in (kernel_map.to_outputs, kernel_map.to_inputs):
        if not pairs.sources.is_cuda:
            _ = pairs.blocks if _uses_c(pairs.sources) else pairs.chunks
    return kernel_map


def _uses_c(rows: Tensor) -> bool:
    return rows.device.type == "cpu" and cpu_library.available()


def _submanifold_map(coordinates: Coordinates) -> KernelMap:
    """Find the neighbours of every voxel: half of the offsets are searched, the others mirror them."""
    if _uses_c(coordinates.keys):
        offset, here, there = cpu_library.find_neighbours(coordinates)
    else:
        offset, here, there = (torch.cat(columns) for columns in zip(*_neighbours(coordinates), strict=True))
    offset = torch.cat([offset, 26 - offset])
    n = len(coordinates)
    pairs = Pairs(offset, torch.cat([there, here]), torch.cat([here, there]), n, 27)
    # Where the layer goes from i to j under o, the gradient goes from j to i: the map's own pair (j, i) under the
    # opposite offset.
    return KernelMap(pairs, pairs.mirrored(), n, n, 27, has_identity=True)


def _neighbours(coordinates: Coordinates) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield (offset index, row, neighbour's row) for one of each pair of opposite offsets.

    Three cells on top of each other have successive keys, so that one search finds a column of offsets.
    """
    keys = coordinates.keys
    step_x, step_y = coordinates.key_steps
    dx, dy = torch.tensor([[1, 1, 1, 0], [-1, 0, 1, 1]], device=keys.device)
    lowest = keys + (dx * step_x + dy * step_y - 1)[:, None]
    first = torch.searchsorted(keys, lowest)
    padded = torch.cat([keys, keys.new_full((3,), torch.iinfo(keys.dtype).max)])
    for ahead in range(3):
        dz_above_lowest = padded[first + ahead] - lowest
        column, here = torch.nonzero(dz_above_lowest < 3, as_tuple=True)
        dz = dz_above_lowest[column, here] - 1
        offset = dx[column] + 3 * dy[column] + 9 * dz + CENTRE
        yield offset, here, first[column, here] + ahead
    here = torch.nonzero(keys[1:] - keys[:-1] == 1).squeeze(1)
    yield torch.full_like(here, CENTRE + 9), here, here + 1


def _downsampling_map(fine: Coordinates, parent_row: Tensor, n_coarse: int) -> KernelMap:
    """Pair every voxel with the coarse voxel that contains it, parent_row int64 [N]."""
    dx, dy, dz = (fine.bxyz[:, 1:] & 1).long().unbind(1)
    offset = dz + 2 * dy + 4 * dx
    rows = torch.arange(len(fine), device=parent_row.device)
    down = Pairs(offset, rows, parent_row, n_coarse, 8)
    up = Pairs(offset, parent_row, rows, len(fine), 8)
    return KernelMap(down, up, len(fine), n_coarse, 8, has_identity=False)


def _mirrored(chunk: Chunk, n_offsets: int) -> Chunk:
    return replace(chunk, offset_counts=tuple((n_offsets - 1 - offset, count) for offset, count in chunk.offset_counts))


def _chunks(offset: Tensor, sources: Tensor, targets: Tensor, n_out: int, n_offsets: int) -> tuple[Chunk, ...]:
    rows = _CPU_CHUNK_ROWS if targets.device.type == "cpu" else n_out
    group = targets // rows * n_offsets + offset
    n_chunks = -(-n_out // rows)
    order = _order(group * n_out + targets, n_chunks * n_offsets * n_out)
    sources, targets = sources[order], targets[order]
    counts = torch.bincount(group, minlength=n_chunks * n_offsets).view(n_chunks, n_offsets).tolist()
    by_target = _order(targets, n_out)
    row_starts = torch.zeros(n_out + 1, dtype=torch.int64, device=targets.device)
    torch.cumsum(torch.bincount(targets, minlength=n_out), 0, out=row_starts[1:])
    ends = accumulate(map(sum, counts), initial=0)
    return tuple(
        Chunk(
            start=k * rows,
            stop=min((k + 1) * rows, n_out),
            sources=sources[a:b],
            targets=targets[a:b],
            offset_counts=tuple((o, count) for o, count in enumerate(counts[k]) if count),
            by_target=by_target[a:b] - a,
            bag_starts=row_starts[k * rows : min((k + 1) * rows, n_out) + 1] - a,
        )
        for k, (a, b) in enumerate(pairwise(ends))
    )


def _order(values: Tensor, limit: int) -> Tensor:
    # Sorting 32-bit numbers takes half the time, and sorting is most of the cost of a map.
    return torch.argsort(values.int() if limit < 2**31 else values, stable=True)
