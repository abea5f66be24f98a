"""Which cells around voxels are occupied."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from iscc_lidar.trainer.data.voxelize import voxelize
from iscc_lidar.trainer.pretrain.samples.surroundings import SurroundingsConfig, draw_surroundings


def twin(at: np.ndarray, xyz: np.ndarray, edges_m: tuple[float, ...], reach: int) -> list[bool]:
    """Look at every cell on its own."""
    ahead = np.float32(1) / np.maximum(np.hypot(at[0], at[1]), np.float32(1e-6)) * at[:2]
    found = []
    for edge in np.float32(edges_m):
        taken = {tuple(cell) for cell in np.floor(xyz / edge).astype(int).tolist()}
        steps = np.arange(-reach, reach + 1, dtype=np.float32)
        for i in steps:
            for j in steps:
                for k in steps:
                    step = np.array([i * ahead[0] - j * ahead[1], i * ahead[1] + j * ahead[0], k], np.float32)
                    found.append(tuple(np.floor((at + edge * step) / edge).astype(int).tolist()) in taken)
    return found


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_cells_are_those_of_a_slow_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    xyz = rng.uniform(-3, 3, (200, 3)).astype(np.float32)
    config = SurroundingsConfig(voxels=10, edges_m=(0.3, 0.9), reach=1)
    voxels = voxelize(xyz[:150], np.zeros(150, np.float32), 0.5)  # 50 points are hidden from the network
    found = draw_surroundings(voxels, xyz, config, np.random.default_rng(0))
    assert found.occupied.shape == (10, config.cells) == (10, 54)
    assert (np.diff(found.voxel) > 0).all()
    expected = np.array([twin(voxels.xyz[row], xyz, config.edges_m, 1) for row in found.voxel])
    assert np.mean(found.occupied == expected) > 0.998, "rounding at the edge of a cell apart"


def test_a_block_looks_along_the_line_of_sight() -> None:
    for degrees in (0, 90, 200):
        angle = math.radians(degrees)
        ahead = np.array([math.cos(angle), math.sin(angle), 0])
        xyz = np.array([5.05 * ahead, 6.05 * ahead], np.float32) + np.float32([0, 0, 0.05])
        voxels = voxelize(xyz[:1], np.zeros(1, np.float32), 0.2)
        config = SurroundingsConfig(voxels=1, edges_m=(1.0,), reach=1)
        block = draw_surroundings(voxels, xyz, config, np.random.default_rng(0)).occupied.reshape(3, 3, 3)
        assert block[1, 1, 1], "the voxel itself"
        assert block[2, 1, 1], "what is behind it"
        assert not block[0].any(), "what is in front of it"


def test_few_voxels_and_none() -> None:
    config = SurroundingsConfig(voxels=9)
    nothing = np.zeros((0, 3), np.float32)
    none = draw_surroundings(voxelize(nothing, np.zeros(0, np.float32), 0.2), nothing, config, np.random.default_rng(0))
    assert none.occupied.shape == (0, config.cells)
    one = np.ones((1, 3), np.float32)
    few = draw_surroundings(voxelize(one, np.zeros(1, np.float32), 0.2), one, config, np.random.default_rng(0))
    assert few.voxel.tolist() == [0]
    assert few.occupied.any()


def test_memory_does_not_depend_on_how_far_points_are() -> None:
    far = np.array([[0, 0, 0], [9e3, -9e3, 50]], np.float32)
    voxels = voxelize(far, np.zeros(2, np.float32), 0.2)
    assert draw_surroundings(voxels, far, SurroundingsConfig(), np.random.default_rng(0)).occupied.any(axis=1).all()


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"surroundings.edges_m: expected 1 to 8 values"):
        SurroundingsConfig(edges_m=())
    with pytest.raises(ValueError, match=r"surroundings.edges_m"):
        SurroundingsConfig(edges_m=(0.0,))
