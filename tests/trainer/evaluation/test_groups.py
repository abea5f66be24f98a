import dataclasses

import numpy as np
import pytest
import torch

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.evaluation.frozen import voxel_features, voxelize_sweep
from iscc_lidar.trainer.evaluation.groups import GEOMETRY, GroupSet, gather_groups, geometry
from iscc_lidar.trainer.evaluation.scores import semantic
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig


def groups_of(*groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Groups of these points, in mixed order."""
    xyz = np.concatenate(groups).astype(np.float32)
    slot = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    order = np.random.default_rng(0).permutation(len(xyz))
    return xyz[order], np.full(len(xyz), 0.5, np.float32), slot[order], len(groups)


def grid(x: int, y: int, z: int, step: float = 0.1) -> np.ndarray:
    return step * np.stack(np.meshgrid(np.arange(x), np.arange(y), np.arange(z)), axis=-1).reshape(-1, 3)


def test_every_labelled_point_is_counted_once(cache: Cache, tiny: IsccConfig, raw: torch.nn.Module):
    near = dataclasses.replace(tiny, data=dataclasses.replace(tiny.data, max_range_m=12.0))
    sweeps = [cache.sweep("00", 0), cache.sweep("01", 3)]
    found = gather_groups(sweeps, near, {"raw": raw}, 5)
    truth, expected, outside = [], [], np.zeros(5, int)
    for sweep in sweeps:
        seen = np.linalg.norm(sweep.xyz, axis=1) <= 12
        truth.append(semantic(sweep))
        for group in np.unique(sweep.label[seen & (sweep.label >= 0)]):
            own = seen & (sweep.label == group)
            expected.append(np.bincount(semantic(sweep)[own], minlength=5))
        outside += np.bincount(semantic(sweep)[~(seen & (sweep.label >= 0))], minlength=5)
    np.testing.assert_array_equal(found.classes, expected)
    np.testing.assert_array_equal(found.outside, outside)
    assert found.features["raw"].shape == (len(expected), 4)
    assert found.features["geometry"].shape == (len(expected), len(GEOMETRY))
    table = found.table(np.arange(len(expected)) % 3, 3)
    np.testing.assert_array_equal(table.sum(axis=0), np.bincount(np.concatenate(truth), minlength=5))
    np.testing.assert_array_equal(table[2], found.classes[1::3].sum(axis=0))
    np.testing.assert_array_equal(table[0], outside)


def test_pooled_features_are_means_over_points(cache: Cache, tiny: IsccConfig, raw: torch.nn.Module):
    sweep = cache.sweep("00", 2)
    found = gather_groups([sweep], tiny, {"raw": raw}, 5)
    voxels = voxelize_sweep(sweep, tiny)
    of_point = voxel_features(raw, voxels).numpy()[voxels.of_point]
    expected = [of_point[sweep.label == group].mean(axis=0) for group in np.unique(sweep.label[sweep.label >= 0])]
    np.testing.assert_allclose(found.features["raw"], expected, rtol=1e-4, atol=1e-6)


def test_geometry_tells_a_pole_a_wall_and_a_bush_apart():
    pole, wall = grid(1, 1, 40), grid(1, 60, 30) + np.array([3.0, 4.0, -1.0])
    bush = np.random.default_rng(0).normal(0, 0.5, (4000, 3))
    rows = geometry(*groups_of(pole, wall, bush))
    of = {name: rows[:, column] for column, name in enumerate(GEOMETRY)}
    assert of["linearity"].argmax() == 0
    assert of["linearity"][0] == pytest.approx(1)
    assert of["planarity"].argmax() == 1
    assert of["scattering"].argmax() == 2
    assert of["scattering"][2] == pytest.approx(1, abs=0.1)
    assert of["verticality"][1] == pytest.approx(1, abs=1e-5)  # its normal is level
    np.testing.assert_allclose(np.exp(of["log height"])[:2], [3.9, 2.9], rtol=1e-5)
    np.testing.assert_allclose(np.exp(of["log length"])[:2], [0.05, 5.9], rtol=1e-5)
    np.testing.assert_allclose(np.exp(of["log points"]), [40, 1800, 4000], rtol=1e-5)
    assert of["lowest z"][1] == -1.0
    assert of["range"][1] == pytest.approx(np.hypot(3.0, 4.0 + 2.95), rel=1e-5)
    assert of["mean intensity"].tolist() == [0.5, 0.5, 0.5]


def test_geometry_does_not_depend_on_heading_and_takes_a_single_point():
    turn = np.array([[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1]])
    wall, point = grid(2, 30, 20) + 3.0, np.array([[1.0, 2.0, 3.0]])
    rows = geometry(*groups_of(wall, wall @ turn.T, point))
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-3, atol=1e-3)
    assert np.isfinite(rows).all()


def test_a_sweep_without_groups_adds_none(cache: Cache, tiny: IsccConfig, raw: torch.nn.Module):
    sweep = cache.sweep("00", 0)
    bare = dataclasses.replace(sweep, label=np.full_like(sweep.label, -1))
    found = gather_groups([bare], tiny, {"raw": raw}, 5)
    assert isinstance(found, GroupSet)
    assert found.classes.shape == (0, 5)
    assert found.features["geometry"].shape == (0, len(GEOMETRY))
    np.testing.assert_array_equal(found.outside, np.bincount(semantic(sweep), minlength=5))
