from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.engine.coordinates import sort_order, sorted_coordinates
from iscc_lidar.trainer.engine.native import cpu_library
from iscc_lidar.trainer.engine.native import kernel_map as km

import dense_twin as twin

pytestmark = pytest.mark.usefixtures("with_and_without_c_kernels")


def pairs_of(chunks: tuple[km.Chunk, ...]) -> list[tuple[int, int, int]]:
    found = []
    for chunk in chunks:
        offsets = [offset for offset, count in chunk.offset_counts for _ in range(count)]
        found += list(zip(offsets, chunk.sources.tolist(), chunk.targets.tolist(), strict=True))
    return found


def check(kernel_map: km.KernelMap, expected: set[tuple[int, int, int]]) -> None:
    forward, backward = pairs_of(kernel_map.to_outputs.chunks), pairs_of(kernel_map.to_inputs.chunks)
    assert set(forward) == expected
    assert {(offset, s, t) for offset, t, s in backward} == expected
    assert len(forward) == len(backward) == len(expected)
    listed = zip(*(t.tolist() for t in (kernel_map.to_outputs.offsets, *rows_of(kernel_map.to_outputs))), strict=True)
    assert sorted(listed) == sorted(expected)
    if cpu_library.available():
        assert pairs_in_blocks(kernel_map.to_outputs) == sorted(expected)
        assert sorted((o, s, t) for o, t, s in pairs_in_blocks(kernel_map.to_inputs)) == sorted(expected)


def rows_of(pairs: km.Pairs) -> tuple[torch.Tensor, torch.Tensor]:
    return pairs.sources, pairs.targets


def pairs_in_blocks(pairs: km.Pairs) -> list[tuple[int, int, int]]:
    """The pairs as the C kernels find them, each checked to lie in the block of its target."""
    blocks, k = pairs.blocks, pairs.n_offsets
    part = torch.repeat_interleave(torch.arange(len(blocks.starts) - 1), blocks.starts.diff())
    assert torch.equal(part // k, blocks.targets // cpu_library.BLOCK)
    offsets = k - 1 - part % k if blocks.mirrored else part % k
    assert torch.equal(torch.bincount(part % k, minlength=k), blocks.sizes)
    return sorted(zip(offsets.tolist(), blocks.sources.tolist(), blocks.targets.tolist(), strict=True))


@settings(max_examples=60, deadline=None)
@given(twin.voxel_sets())
def test_maps_equal_those_of_a_dictionary(bxyz: torch.Tensor) -> None:
    maps = km.MapCache(sorted_coordinates(bxyz))
    check(maps.submanifold(0), twin.submanifold_pairs(bxyz))
    check(maps.downsampling(0), twin.downsampling_pairs(bxyz))
    coarse = maps.coordinates(1).bxyz
    assert torch.equal(coarse, twin.parents(bxyz))
    check(maps.submanifold(1), twin.submanifold_pairs(coarse))


def test_pairs_are_the_same_over_several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(km, "_CPU_CHUNK_ROWS", 16)
    monkeypatch.setattr(cpu_library, "BLOCK", 16)
    bxyz = twin.random_voxels(0)
    maps = km.MapCache(sorted_coordinates(bxyz))
    assert len(maps.submanifold(0).to_outputs.chunks) > 3
    check(maps.submanifold(0), twin.submanifold_pairs(bxyz))
    check(maps.downsampling(0), twin.downsampling_pairs(bxyz))


def test_a_map_is_made_once() -> None:
    maps = km.MapCache(sorted_coordinates(twin.random_voxels(0)))
    assert maps.submanifold(1) is maps.submanifold(1)
    assert maps.downsampling(0) is maps.downsampling(0)


def test_sort_order_sorts_rows() -> None:
    bxyz = twin.random_voxels(1)
    shuffled = bxyz[torch.randperm(len(bxyz), generator=torch.Generator().manual_seed(0))]
    assert torch.equal(shuffled[sort_order(shuffled)], bxyz)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[0, 1, 0, 0], [0, 0, 0, 0]], "sorted"),
        ([[0, 1, 0, 0], [0, 1, 0, 0]], "unique"),
        ([[0, 0, -1, 0]], ">= 0"),
    ],
)
def test_wrong_voxels_are_refused(rows: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sorted_coordinates(torch.tensor(rows, dtype=torch.int32))


def test_an_empty_batch_and_a_wrong_type_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one voxel"):
        sorted_coordinates(torch.empty((0, 4), dtype=torch.int32))
    with pytest.raises(ValueError, match="int32"):
        sorted_coordinates(torch.zeros((1, 4), dtype=torch.int64))


def test_a_grid_too_large_to_number_is_refused_and_a_just_fitting_one_is_not() -> None:
    far = 2**21 - 4
    maps = km.MapCache(
        sorted_coordinates(torch.tensor([[0, far, far, far - 1], [0, far, far, far]], dtype=torch.int32))
    )
    check(maps.submanifold(0), {(22, 1, 0), (4, 0, 1)})
    with pytest.raises(UserError, match="voxel_size"):
        sorted_coordinates(torch.tensor([[0, far + 2, far + 2, far + 2]], dtype=torch.int32))
