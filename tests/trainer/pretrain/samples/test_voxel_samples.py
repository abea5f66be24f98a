import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscc_lidar.trainer.data.voxelize import Members
from iscc_lidar.trainer.pretrain.samples.voxel_samples import VoxelSampleConfig, draw_voxel_samples


def members(sizes: list[int], seed: int) -> Members:
    """Regions of so many voxels, entries in random order."""
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return Members(rng.permutation(len(group)) * 3, group, rng.integers(1, 9, len(group)).astype(np.float32))


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=8),
    st.integers(1, 5),
    st.integers(1, 6),
    st.integers(0, 2**32 - 1),
)
def test_parts_are_disjoint_pieces_of_their_regions(sizes: list[int], voxels: int, most: int, seed: int):
    whole = members(sizes, seed)
    cut, region = draw_voxel_samples(whole, len(sizes), VoxelSampleConfig(voxels, most), np.random.default_rng(seed))
    owner = dict(zip(whole.voxel.tolist(), zip(whole.group.tolist(), whole.points.tolist(), strict=True), strict=True))
    assert len(set(cut.voxel.tolist())) == len(cut.voxel)
    for voxel, part, points in zip(cut.voxel.tolist(), cut.group.tolist(), cut.points.tolist(), strict=True):
        assert owner[voxel] == (region[part], points)
    assert (np.diff(region) >= 0).all()
    for group, size in enumerate(sizes):
        parts = np.bincount(cut.group, minlength=len(region))[region == group]
        assert len(parts) == min(-(-size // voxels), most)
        assert (parts[:-1] == voxels).all()
        assert 1 <= parts[-1] <= voxels


def test_without_parts_regions_are_pooled_whole():
    whole = members([3, 5], 0)
    same, region = draw_voxel_samples(whole, 2, VoxelSampleConfig(voxels=0), np.random.default_rng(0))
    assert same is whole
    assert region.tolist() == [0, 1]


def test_nothing_to_cut():
    nothing = Members(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    cut, region = draw_voxel_samples(nothing, 0, VoxelSampleConfig(), np.random.default_rng(0))
    assert len(cut.voxel) == len(region) == 0


def test_another_draw_takes_other_voxels():
    whole = members([40], 0)
    draws = {
        frozenset(draw_voxel_samples(whole, 1, VoxelSampleConfig(1, 4), np.random.default_rng(s))[0].voxel)
        for s in range(5)
    }
    assert len(draws) == 5


@pytest.mark.parametrize("bad", [{"voxels": -1}, {"max_parts": 0}])
def test_sizes_that_cannot_be_are_refused(bad: dict[str, int]):
    with pytest.raises(ValueError, match="voxel_samples"):
        VoxelSampleConfig(**bad)
