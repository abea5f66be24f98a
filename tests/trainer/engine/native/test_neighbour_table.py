"""The fused convolution's tables, and the convolution computed from them by slow loops; needs no Triton."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from iscc_lidar.trainer.engine.coordinates import sorted_coordinates
from iscc_lidar.trainer.engine.native import kernel_map as km
from iscc_lidar.trainer.engine.native import neighbour_table as nt
from iscc_lidar.trainer.engine.native import tile_sizes
from iscc_lidar.trainer.engine.native.convolution import plain_convolution

import dense_twin as twin
from synthetic_voxels import synthetic_voxels


def maps_of(bxyz: Tensor) -> dict[str, km.KernelMap]:
    maps = km.MapCache(sorted_coordinates(bxyz))
    down = maps.downsampling(0)
    return {"submanifold": maps.submanifold(0), "strided": down, "transposed": down.transposed()}


def forward_table(kernel_map: km.KernelMap) -> Tensor:
    return nt.neighbour_table(kernel_map.to_outputs, kernel_map.has_identity)


def slow_output(x: Tensor, kernel: Tensor, kernel_map: km.KernelMap, n_tables: int, gradient: bool) -> Tensor:
    """What gather_multiply computes, tile by tile and row by row."""
    n_out = kernel_map.n_in if gradient else kernel_map.n_out
    weights = kernel.transpose(1, 2) if gradient else kernel
    flipped = gradient and nt.mirrored(kernel_map)
    out = x.new_zeros(n_out, weights.shape[2])
    for part in nt.tables_of(kernel_map, n_tables, gradient=gradient):
        tiles = part.tiles(64)
        for tile, needed in enumerate(tiles.needed.tolist()):
            for slot in range(needed):
                offset = int(tiles.offsets[tile, slot])
                weight = weights[len(weights) - 1 - offset if flipped else offset]
                for row, source in zip(
                    part.rows[tile * 64 :].tolist(), tiles.sources[tile, slot].tolist(), strict=False
                ):
                    if source >= 0:
                        out[row] += x[source] @ weight
    return out


def slow_kernel_gradient(x: Tensor, grad_out: Tensor, kernel_map: km.KernelMap, n_splits: int) -> Tensor:
    """What multiply_pairs and add_splits compute."""
    splits = nt.splits_of(kernel_map, n_splits)
    grads = []
    for first, stop in zip(splits.first[:-1].tolist(), splits.first[1:].tolist(), strict=True):
        total = x.new_zeros(x.shape[1], grad_out.shape[1])
        for split in range(first, stop):
            mine = slice(int(splits.start[split]), int(splits.stop[split]))
            total += x[splits.sources[mine].long()].t() @ grad_out[splits.targets[mine].long()]
        grads.append(total)
    return torch.stack(grads)


@pytest.mark.parametrize("n_tables", [1, 2, 3])
@pytest.mark.parametrize("kind", ["submanifold", "strided", "transposed"])
def test_loops_over_the_tables_give_the_convolution_and_its_gradients(
    kind: str, n_tables: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nt, "_SHORTEST_SPLIT", 7)
    kernel_map = maps_of(twin.random_voxels(2))[kind]
    random = torch.Generator().manual_seed(0)
    shapes = (kernel_map.n_in, 3), (kernel_map.n_offsets, 3, 2), (kernel_map.n_out, 2)
    x, kernel, weight = (torch.randn(s, generator=random, dtype=torch.float64) for s in shapes)
    out = plain_convolution(x.requires_grad_(), kernel.requires_grad_(), kernel_map)
    grads = torch.autograd.grad(out, (x, kernel), weight)
    x, kernel = x.detach(), kernel.detach()
    torch.testing.assert_close(slow_output(x, kernel, kernel_map, n_tables, False), out.detach())
    torch.testing.assert_close(slow_output(weight, kernel, kernel_map, n_tables, True), grads[0])
    torch.testing.assert_close(slow_kernel_gradient(x, weight, kernel_map, 100), grads[1])


@settings(max_examples=60, deadline=None)
@given(twin.voxel_sets(), st.integers(1, 3))
def test_tables_hold_the_pairs_of_a_dictionary_in_any_order_of_rows(bxyz: Tensor, n_tables: int) -> None:
    maps = maps_of(bxyz)
    identity = {(km.CENTRE, i, i) for i in range(len(bxyz))}
    down = twin.downsampling_pairs(bxyz)
    expected = {
        "submanifold": twin.submanifold_pairs(bxyz) | identity,
        "strided": down,
        "transposed": {(offset, t, s) for offset, s, t in down},
    }
    for kind, kernel_map in maps.items():
        table = forward_table(kernel_map)
        found = {(k, int(table[k, i]), i) for k, i in torch.nonzero(table >= 0).tolist()}
        assert found == expected[kind]
        if n_tables == 1 or kind == "submanifold":
            check_tables(table, nt.sort_rows(table, n_tables))


def check_tables(table: Tensor, parts: tuple[nt.SortedTable, ...]) -> None:
    n_out = table.shape[1]
    assert [p.first_offset for p in parts] == sorted({p.first_offset for p in parts})
    assert sum(len(p.sources) for p in parts) == len(table)
    for part in parts:
        assert sorted(part.rows.tolist()) == list(range(-(-n_out // 128) * 128))
        for j, sources in enumerate(part.sources):
            again = torch.full((len(part.rows),), -2, dtype=torch.int32)
            again[part.rows.long()] = sources
            assert torch.equal(again[:n_out], table[part.first_offset + j])
            assert bool((again[n_out:] == -1).all())


def slow_key(bits: list[bool], counts: list[int]) -> int:
    """Number of steps of the Gray code to the row's word, rarest offset highest, by walking it."""
    order = sorted(range(len(bits)), key=lambda j: (-counts[j], j))
    word = sum(bits[j] << place for place, j in enumerate(order))
    return next(step for step in range(1 << len(bits)) if step ^ (step >> 1) == word)


def test_rows_are_sorted_along_the_gray_code() -> None:
    present = torch.rand((8, 40), generator=torch.Generator().manual_seed(0)) < torch.linspace(0.1, 0.9, 8)[:, None]
    counts = present.sum(1).tolist()
    assert nt.similarity_key(present).tolist() == [slow_key(row, counts) for row in present.t().tolist()]


def test_all_27_offsets_fit_a_key() -> None:
    key = nt.similarity_key(torch.ones((27, 2), dtype=torch.bool))
    assert key.dtype == torch.int32
    assert 0 < int(key[0]) < 2**27


@pytest.mark.parametrize("tile_rows", [64, 128])
def test_tiles_list_the_offsets_that_their_rows_need(tile_rows: int) -> None:
    table = forward_table(maps_of(twin.random_voxels(1, size=(9, 8, 7), fill=0.1))["submanifold"])
    for part in nt.sort_rows(table, 2):
        tiles = part.tiles(tile_rows)
        assert part.tiles(tile_rows) is tiles
        assert len(tiles.needed) * tile_rows == len(part.rows)
        for tile, needed in enumerate(tiles.needed.tolist()):
            mine = part.sources[:, tile * tile_rows : (tile + 1) * tile_rows]
            expected = [j for j, sources in enumerate(mine) if int(sources.max()) >= 0]
            assert (tiles.offsets[tile, :needed] - part.first_offset).tolist() == expected
            assert torch.equal(tiles.sources[tile, :needed], mine[expected])
            assert bool((tiles.sources[tile, needed:] == -1).all())


def test_sorting_spares_products_on_streets() -> None:
    table = forward_table(maps_of(synthetic_voxels(1, 20_000))["submanifold"])
    pairs = int((table >= 0).sum())

    def computed(sorted_tables: tuple[nt.SortedTable, ...]) -> float:
        return sum(int(p.tiles(128).needed.sum()) for p in sorted_tables) * 128 / pairs

    unsorted = nt.SortedTable(
        0, torch.arange(len(table.t())), torch.nn.functional.pad(table, (0, -len(table.t()) % 128), value=-1)
    )
    two, one, none = computed(nt.sort_rows(table, 2)), computed(nt.sort_rows(table, 1)), computed((unsorted,))
    assert two < 1.5
    assert two < one < 0.65 * none


@given(st.lists(st.integers(0, 50), min_size=1, max_size=9), st.integers(1, 60))
def test_splits_cover_every_range_once_and_in_order(counts: list[int], length: int) -> None:
    begins = [7 * i + sum(counts[:i]) for i in range(len(counts))]
    start, stop, first = nt.cut_ranges(begins, counts, length)
    assert len(first) == len(counts) + 1
    assert first[-1] == len(start) == len(stop)
    for i, (begin, count) in enumerate(zip(begins, counts, strict=True)):
        mine = [p for s in range(first[i], first[i + 1]) for p in range(start[s], stop[s])]
        assert mine == list(range(begin, begin + count))
    assert all(0 < b - a <= length for a, b in zip(start, stop, strict=True))


def test_the_pieces_are_about_as_many_as_asked_for() -> None:
    kernel_map = maps_of(synthetic_voxels(1, 20_000))["submanifold"]
    splits = nt.splits_of(kernel_map, 100)
    assert 100 <= len(splits.start) <= 127
    assert nt.splits_of(kernel_map, 100) is splits


def test_tables_are_made_once_and_shared_with_the_transposed_map_and_a_mirrored_gradient() -> None:
    maps = maps_of(twin.random_voxels(0))
    sub, down, up = maps["submanifold"], maps["strided"], maps["transposed"]
    assert nt.tables_of(sub, 2, gradient=False) is nt.tables_of(sub, 2, gradient=True)
    assert nt.tables_of(sub, 2, gradient=False) is not nt.tables_of(sub, 1, gradient=False)
    assert nt.tables_of(down, 1, gradient=False) is nt.tables_of(up, 1, gradient=True)
    assert nt.tables_of(down, 1, gradient=True) is nt.tables_of(up, 1, gradient=False)
    assert nt.tables_of(down, 1, gradient=True) is not nt.tables_of(up, 1, gradient=True)
    assert nt.splits_of(down, 9) is not nt.splits_of(up, 9)


@given(
    n_out=st.integers(1, 3_000_000),
    c_in=st.integers(1, 512),
    c_out=st.integers(1, 512),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32]),
    tf32=st.booleans(),
    major=st.sampled_from([7, 8, 9, 10, 12]),
)
def test_tiles_suit_triton_and_fit_shared_memory(
    n_out: int, c_in: int, c_out: int, dtype: torch.dtype, tf32: bool, major: int
) -> None:
    for sizes in (
        tile_sizes.gather_sizes(n_out, c_in, c_out, dtype, tf32),
        tile_sizes.pair_sizes(c_in, c_out, dtype, tf32, major),
    ):
        for size in (sizes.rows, sizes.cols, sizes.depth):
            assert size >= 16
            assert size & (size - 1) == 0
        # Two steps of both operands, as Triton 3.9 lays them out, and the index of each row.
        in_flight = 3 if major in (9, 10) else 2
        assert in_flight * (sizes.rows + sizes.cols) * sizes.depth * dtype.itemsize + 2048 <= 101_376
        assert sizes.warps in (4, 8)
    assert nt.LARGEST_TILE % tile_sizes.gather_sizes(n_out, c_in, c_out, dtype, tf32).rows == 0
