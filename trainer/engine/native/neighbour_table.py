"""Tables that the fused convolution reads: what each output row gathers, in an order that suits tiles.

A tile of output rows is multiplied by a weight as soon as one of its rows has that neighbour. A voxel of a street
has 3 to 9 of its 27, others than the next voxel: with rows in spatial order a tile needs nearly all 27, and
computes 4 to 6 times the products that exist. Rows are therefore put beside rows that have the same neighbours
("sorted implicit GEMM": Tang et al., TorchSparse++, MICRO 2023; spconv 2), separately for each of a few parts of
the offsets, whose sums are added up. No part of this file needs Triton.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from iscc_lidar.trainer.engine.native.kernel_map import CENTRE, KernelMap, Pairs

# N_in, N_out rows; K offsets, J of them in a part; P = N_out rounded up to LARGEST_TILE; M pairs; S splits

Made = TypeVar("Made")

LARGEST_TILE = 128
"""Tables are padded to this many rows; tiles are 64 or 128 rows."""

_SHORTEST_SPLIT = 256


@dataclass(frozen=True)
class Tiles:
    """A part cut into tiles of T successive positions.

    Attributes:
        needed: int32 [tiles], under how many offsets a tile's rows have neighbours.
        offsets: int32 [tiles, J], those offsets first, in order.
        sources: int32 [tiles, J, T], the neighbours under each of them, -1 for none.
    """

    needed: Tensor
    offsets: Tensor
    sources: Tensor


@dataclass(frozen=True)
class Part:
    """Neighbours under a range of offsets, output rows in an order of their own.

    Attributes:
        first_offset: the part holds offsets first_offset to first_offset + J - 1.
        rows: int32 [P], the output row at each position; N_out and above is padding.
        sources: int32 [J, P], input row that the output row at a position meets, -1 for none.
    """

    first_offset: int
    rows: Tensor
    sources: Tensor
    _tiles: dict[int, Tiles] = field(default_factory=dict, repr=False, compare=False)

    def tiles(self, tile_rows: int) -> Tiles:
        """Cut into tiles of tile_rows, a divisor of LARGEST_TILE; made when first asked for."""
        if tile_rows not in self._tiles:
            sources = self.sources.view(len(self.sources), -1, tile_rows).transpose(0, 1)
            is_needed = (sources >= 0).any(2)
            order = torch.argsort(is_needed.to(torch.uint8), dim=1, descending=True, stable=True)
            self._tiles[tile_rows] = Tiles(
                is_needed.sum(1, dtype=torch.int32),
                (order + self.first_offset).int(),
                torch.take_along_dim(sources, order[:, :, None], 1),
            )
        return self._tiles[tile_rows]


@dataclass(frozen=True)
class PairSplits:
    """The pairs of all offsets, cut into pieces that are reduced one by one and then added up in order.

    Attributes:
        sources, targets: int32 [M], input and output row, by offset.
        start, stop: int32 [S], the pairs of a split.
        first: int32 [K + 1], where each offset's splits begin.
    """

    sources: Tensor
    targets: Tensor
    start: Tensor
    stop: Tensor
    first: Tensor


def parts_of(kernel_map: KernelMap, n_parts: int, *, gradient: bool) -> tuple[Part, ...]:
    """The parts of the forward pass or of the gradient of x, made when first asked for and kept by the map.

    Where ``mirrored``, the gradient shares the forward pass's.
    """
    pairs = kernel_map.to_inputs if gradient and not mirrored(kernel_map) else kernel_map.to_outputs

    def make() -> tuple[Part, ...]:
        return sorted_parts(neighbour_table(pairs, kernel_map.has_identity), n_parts)

    # A transposed map has the same pairs, swapped, and the same tables.
    return _kept(kernel_map, ("parts", id(pairs), n_parts), make)


def splits_of(kernel_map: KernelMap, n_splits: int) -> PairSplits:
    """The pairs in about n_splits pieces, see pair_splits; made when first asked for and kept by the map."""
    key = ("splits", id(kernel_map.to_outputs), n_splits)
    return _kept(kernel_map, key, lambda: pair_splits(kernel_map, n_splits))


def mirrored(kernel_map: KernelMap) -> bool:
    """Whether row j meets row i under offset K - 1 - k wherever i meets j under k, as in a submanifold layer."""
    return kernel_map.has_identity


def neighbour_table(pairs: Pairs, has_identity: bool) -> Tensor:
    """int32 [K, N_out], the input row that each output row meets under each offset, -1 for none."""
    device = pairs.sources.device
    table = torch.full((pairs.n_offsets, pairs.n_out), -1, dtype=torch.int32, device=device)
    table[pairs.offsets.long(), pairs.targets.long()] = pairs.sources.int()
    if has_identity:
        table[CENTRE] = torch.arange(pairs.n_out, dtype=torch.int32, device=device)
    return table


def sorted_parts(table: Tensor, n_parts: int) -> tuple[Part, ...]:
    """Cut a table [K, N_out] into n_parts ranges of offsets and sort the rows of each."""
    n_out = table.shape[1]
    padding = -n_out % LARGEST_TILE
    parts = []
    for first, stop in pairwise(round(i * len(table) / n_parts) for i in range(n_parts + 1)):
        mine = table[first:stop]
        order = torch.argsort(similarity_key(mine >= 0), stable=True)
        rows = torch.arange(n_out, n_out + padding, dtype=torch.int32, device=table.device)
        parts.append(Part(first, torch.cat([order.int(), rows]), pad(mine[:, order], (0, padding), value=-1)))
    return tuple(parts)


def similarity_key(present: Tensor) -> Tensor:
    """A number per row, close for rows that have similar neighbours.

    Args:
        present: bool [J, N], J <= 31.

    Returns:
        int32 [N]: the place of the row's bits in the Gray code, in which successive words differ in one bit. The
        rarest offset is the highest bit, so that few tiles need it. On real sweeps that saves a tenth of the
        products against sorting by the plain bits.
    """
    bit = torch.argsort(torch.argsort(present.sum(1), descending=True, stable=True))
    key = (present.int() << bit.int()[:, None]).sum(0, dtype=torch.int32)
    for shift in (1, 2, 4, 8, 16):
        key ^= key >> shift
    return key


def pair_splits(kernel_map: KernelMap, n_splits: int) -> PairSplits:
    """List the pairs by offset and cut each offset's into pieces, as equal as a common length allows.

    Args:
        kernel_map: the layer's map.
        n_splits: how many there should be at most, but for one more of each offset; few pairs make fewer.
    """
    pairs = kernel_map.to_outputs
    device = pairs.sources.device
    counts: list[int] = torch.bincount(pairs.offsets, minlength=kernel_map.n_offsets).tolist()
    order = torch.argsort(pairs.offsets, stable=True)
    sources, targets = pairs.sources[order].int(), pairs.targets[order].int()
    begins = list(accumulate(counts, initial=0))[:-1]
    if kernel_map.has_identity:
        itself = torch.arange(kernel_map.n_out, dtype=torch.int32, device=device)
        begins[CENTRE], counts[CENTRE] = len(sources), kernel_map.n_out
        sources, targets = torch.cat([sources, itself]), torch.cat([targets, itself])
    length = max(_SHORTEST_SPLIT, -(-sum(counts) // n_splits))
    start, stop, first = split_plan(begins, counts, length)
    lists = (torch.tensor(numbers, dtype=torch.int32, device=device) for numbers in (start, stop, first))
    return PairSplits(sources, targets, *lists)


def split_plan(begins: list[int], counts: list[int], length: int) -> tuple[list[int], list[int], list[int]]:
    """Cut ranges of pairs into pieces of at most ``length``.

    Returns:
        start and stop of every piece, and for each range, and after the last, the index of its first piece.
    """
    start: list[int] = []
    stop: list[int] = []
    first = [0]
    for begin, count in zip(begins, counts, strict=True):
        cuts = [*range(begin, begin + count, length), begin + count]
        start += cuts[:-1]
        stop += cuts[1:]
        first.append(len(start))
    return start, stop, first


def _kept(kernel_map: KernelMap, key: tuple[str, int, int], make: Callable[[], Made]) -> Made:
    if key not in kernel_map.derived:
        kernel_map.derived[key] = make()
    found: Made = kernel_map.derived[key]
    return found
