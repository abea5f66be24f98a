"""Tables for the fused convolution: the rows that each output row gathers, in an order that suits tiles.

A tile of output rows is multiplied by a weight if any of its rows has that neighbour. A voxel of a street scene has 3
to 9 of its 27 neighbours, and not the same as the next voxel: with rows in spatial order a tile needs nearly all 27,
and computes 4 to 6 times the products that exist. Rows with the same neighbours are therefore put next to each other
("sorted implicit GEMM": Tang et al., TorchSparse++, MICRO 2023; spconv 2), separately for each of a few ranges of
offsets, whose sums are added up. Triton is not needed here.
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

# N_in, N_out rows; K offsets, J of them in a range; P = N_out rounded up to LARGEST_TILE; M pairs; S splits

T = TypeVar("T")

LARGEST_TILE = 128
"""Tables are padded to a multiple of this many rows; tiles have 64 or 128 rows."""

_SHORTEST_SPLIT = 256


@dataclass(frozen=True)
class Tiles:
    """A sorted table cut into tiles of R successive positions.

    Attributes:
        needed: int32 [tiles], number of offsets under which any of a tile's rows has a neighbour.
        offsets: int32 [tiles, J], those offsets first, in order.
        sources: int32 [tiles, J, R], the neighbours under each offset, -1 for none.
    """

    needed: Tensor
    offsets: Tensor
    sources: Tensor


@dataclass(frozen=True)
class SortedTable:
    """Neighbours under a range of offsets, with the output rows sorted by similarity.

    Attributes:
        first_offset: the range is first_offset to first_offset + J - 1.
        rows: int32 [P], the output row at each position; N_out and above is padding.
        sources: int32 [J, P], the neighbour (input row) of the output row at each position, -1 for none.
    """

    first_offset: int
    rows: Tensor
    sources: Tensor
    _tiles: dict[int, Tiles] = field(default_factory=dict, repr=False, compare=False)

    def tiles(self, tile_rows: int) -> Tiles:
        """Cut the table into tiles of tile_rows, a divisor of LARGEST_TILE, on first use."""
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
        start, stop: int32 [S], the pairs of each split.
        first: int32 [K + 1], each offset's first split.
    """

    sources: Tensor
    targets: Tensor
    start: Tensor
    stop: Tensor
    first: Tensor


def tables_of(kernel_map: KernelMap, n_tables: int, *, gradient: bool) -> tuple[SortedTable, ...]:
    """Return the map's tables for the forward pass or the gradient of x, made on first use.

    If ``mirrored``, the gradient shares those of the forward pass.
    """
    pairs = kernel_map.to_inputs if gradient and not mirrored(kernel_map) else kernel_map.to_outputs
    # A transposed map has the same pairs, swapped, and the same tables.
    key = ("tables", id(pairs), n_tables)
    return _derive(kernel_map, key, lambda: sort_rows(neighbour_table(pairs, kernel_map.has_identity), n_tables))


def splits_of(kernel_map: KernelMap, n_splits: int) -> PairSplits:
    """Return the map's pairs in about n_splits pieces, see split_pairs, made on first use."""
    key = ("splits", id(kernel_map.to_outputs), n_splits)
    return _derive(kernel_map, key, lambda: split_pairs(kernel_map, n_splits))


def mirrored(kernel_map: KernelMap) -> bool:
    """Return whether each pair (i, j) under offset k has a mirror (j, i) under K - 1 - k, as in a submanifold layer."""
    return kernel_map.has_identity


def neighbour_table(pairs: Pairs, has_identity: bool) -> Tensor:
    """Return the neighbour (input row) of each output row under each offset, int32 [K, N_out], -1 for none."""
    device = pairs.sources.device
    table = torch.full((pairs.n_offsets, pairs.n_out), -1, dtype=torch.int32, device=device)
    table[pairs.offsets.long(), pairs.targets.long()] = pairs.sources.int()
    if has_identity:
        table[CENTRE] = torch.arange(pairs.n_out, dtype=torch.int32, device=device)
    return table


def sort_rows(table: Tensor, n_tables: int) -> tuple[SortedTable, ...]:
    """Cut a table [K, N_out] into n_tables ranges of offsets and sort the rows of each."""
    n_out = table.shape[1]
    padding = -n_out % LARGEST_TILE
    rows = torch.arange(n_out, n_out + padding, dtype=torch.int32, device=table.device)
    found = []
    for first, stop in pairwise(round(i * len(table) / n_tables) for i in range(n_tables + 1)):
        sources = table[first:stop]
        order = torch.argsort(similarity_key(sources >= 0), stable=True)
        sources = pad(sources[:, order], (0, padding), value=-1)
        found.append(SortedTable(first, torch.cat([order.int(), rows]), sources))
    return tuple(found)


def similarity_key(present: Tensor) -> Tensor:
    """Return a sort key that is close for rows with similar neighbours.

    Args:
        present: bool [J, N], J <= 31.

    Returns:
        int32 [N]: the position of the row's bits in the Gray code, in which successive words differ in one bit. The
        rarest offset is the highest bit, so that few tiles need it. On real sweeps this saves a tenth of the products
        compared with sorting by the plain bits.
    """
    bit = torch.argsort(torch.argsort(present.sum(1), descending=True, stable=True))
    key = (present.int() << bit.int()[:, None]).sum(0, dtype=torch.int32)
    for shift in (1, 2, 4, 8, 16):
        key ^= key >> shift
    return key


def split_pairs(kernel_map: KernelMap, n_splits: int) -> PairSplits:
    """List the pairs by offset and cut each offset's list into pieces of a common length.

    There are at most n_splits + K pieces, and fewer if there are few pairs.
    """
    pairs = kernel_map.to_outputs
    device = pairs.sources.device
    counts: list[int] = torch.bincount(pairs.offsets, minlength=kernel_map.n_offsets).tolist()
    order = torch.argsort(pairs.offsets, stable=True)
    sources, targets = pairs.sources[order].int(), pairs.targets[order].int()
    begins = list(accumulate(counts, initial=0))[:-1]
    if kernel_map.has_identity:
        rows = torch.arange(kernel_map.n_out, dtype=torch.int32, device=device)
        begins[CENTRE], counts[CENTRE] = len(sources), kernel_map.n_out
        sources, targets = torch.cat([sources, rows]), torch.cat([targets, rows])
    length = max(_SHORTEST_SPLIT, -(-sum(counts) // n_splits))
    cuts = (torch.tensor(numbers, dtype=torch.int32, device=device) for numbers in cut_ranges(begins, counts, length))
    return PairSplits(sources, targets, *cuts)


def cut_ranges(begins: list[int], counts: list[int], length: int) -> tuple[list[int], list[int], list[int]]:
    """Cut ranges of pairs into pieces of at most ``length``.

    Returns start and stop of every piece, and the index of the first piece of each range, with the total at the end.
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


def _derive(kernel_map: KernelMap, key: tuple[str, int, int], make: Callable[[], T]) -> T:
    if key not in kernel_map.derived:
        kernel_map.derived[key] = make()
    found: T = kernel_map.derived[key]
    return found
