"""Descriptions of groups against loops over groups."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from iscc_lidar.preprocess.audit.describe import LOOKS, describe_sweep, join
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import NO_QUERIES, CachedSweep


def test_rows_are_those_of_a_loop(tiny_cache: Path) -> None:
    cache = Cache(tiny_cache)
    sweep, semantic = cache.sweep("00", 3), cache.classes("00", 3)
    classes = len(cache.manifest.class_names)
    rows = describe_sweep(sweep, semantic, classes)
    assert rows.group.tolist() == np.unique(sweep.label[sweep.label >= 0]).tolist()
    assert (rows.sweep == 3).all()
    for k, group in enumerate(rows.group.tolist()):
        mine = sweep.label == group
        xyz, intensity = sweep.xyz[mine].astype(np.float64), sweep.intensity[mine].astype(np.float64)
        np.testing.assert_array_equal(rows.classes[k], np.bincount(semantic[mine], minlength=classes))
        assert rows.points[k] == mine.sum()
        if mine.sum() < 5:
            assert np.isnan(rows.looks[k]).all()
            continue
        covariance = np.cov(xyz.T, bias=True) + 1e-9 * np.eye(3)
        axes = np.linalg.eigh(covariance[:2, :2])[1]
        across, along = np.ptp((xyz[:, :2] - xyz[:, :2].mean(axis=0)) @ axes, axis=0)
        values = np.linalg.eigvalsh(covariance)[::-1]
        expected = {
            "length": along,
            "width": across,
            "height": np.ptp(xyz[:, 2]),
            "intensity": intensity.mean(),
            "intensity_spread": intensity.std(),
            "line": (values[0] - values[1]) / values[0],
            "sheet": (values[1] - values[2]) / values[0],
            "volume": values[2] / values.sum(),
        }
        found = dict(zip(LOOKS, rows.looks[k].tolist(), strict=True))
        for name, value in expected.items():
            assert abs(found[name] - value) < 1e-3 + 1e-3 * abs(value), (name, group)
        assert abs(found["top"] - found["bottom"] - found["height"]) < 1e-3


def sweep_of(xyz: list[list[float]], label: list[int]) -> CachedSweep:
    points = np.array(xyz, np.float32).reshape(-1, 3)
    return CachedSweep(
        "a", 0, "0", points, np.zeros(len(points), np.float32), np.array(label, np.int32), None, np.eye(4), NO_QUERIES
    )


def test_heights_are_above_the_ground_nearby() -> None:
    hill = [[x, y, -2.0 if x < 0 else 1.0] for x in np.arange(-10, 10, 0.5) for y in (-1.0, 0.0, 1.0)]
    post = [[float(x), 0.0, (-2.0 if x < 0 else 1.0) + 0.5 * k] for x in (-6, 6) for k in range(8)]
    sweep = sweep_of([*hill, *post], [-2] * len(hill) + [0] * 8 + [1] * 8)
    rows = describe_sweep(sweep, np.ones(len(sweep.xyz), np.uint8), 2)
    bottom, top = LOOKS.index("bottom"), LOOKS.index("top")
    np.testing.assert_allclose(rows.looks[:, bottom], [0, 0], atol=0.01)
    np.testing.assert_allclose(rows.looks[:, top], [3.5, 3.5], atol=0.01)


def test_sweeps_without_groups_ground_or_points_have_no_rows() -> None:
    for label in ([], [-1, -2], [-3]):
        rows = describe_sweep(sweep_of([[1, 1, 1]] * len(label), label), np.ones(len(label), np.uint8), 3)
        assert rows.classes.shape == (0, 3)
    alone = describe_sweep(sweep_of([[1, 1, k] for k in range(6)], [4] * 6), np.ones(6, np.uint8), 3)
    assert np.isfinite(alone.looks).all()
    assert join([], 3).classes.shape == (0, 3)
    assert join([alone, alone], 3).group.tolist() == [4, 4]
