import dataclasses

import numpy as np
import pytest
import torch

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.evaluation.frozen import voxelize_sweep
from iscc_lidar.trainer.evaluation.probes import (
    NeighbourConfig,
    fit_linear_probe,
    keep_neighbours,
    labelled_voxels,
    score_probes,
)
from iscc_lidar.trainer.evaluation.scores import semantic
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig


def test_probes_score_what_the_features_hold(
    cache: Cache, tiny: IsccConfig, raw: torch.nn.Module, oracle: torch.nn.Module
):
    sweeps = [cache.sweep(name, index) for name in ("00", "01") for index in range(6)]
    seen = [voxelize_sweep(sweep, tiny) for sweep in sweeps[::3]]
    found = {}
    for name, network in (("raw", raw), ("oracle", oracle)):
        samples = labelled_voxels(network, tiny, sweeps[::3], seen, 5)
        probes = {"linear": fit_linear_probe(samples, 5), "kNN": keep_neighbours(samples, NeighbourConfig(), 0)}
        found |= {(name, probe): score for probe, score in score_probes(network, tiny, probes, cache, sweeps).items()}
    blind = found["oracle", "linear"].iou
    assert set(blind) == {"car", "wall", "pole", "ground"}
    assert blind["ground"] > 0.9
    assert sorted(value for name, value in blind.items() if name != "ground")[:2] == [0, 0]  # all taken for one
    assert found["raw", "linear"].miou > found["oracle", "linear"].miou
    # With features of two values the neighbours are as good as drawn; by place and height they tell most.
    assert found["raw", "kNN"].miou > found["oracle", "linear"].miou


def test_a_voxel_is_a_sample_of_each_class_in_it(cache: Cache, tiny: IsccConfig, raw: torch.nn.Module):
    sweep = cache.sweep("00", 1)
    voxels = voxelize_sweep(sweep, tiny)
    samples = labelled_voxels(raw, tiny, [sweep], [voxels], 5)
    expected = sorted(set(zip(voxels.of_point.tolist(), semantic(sweep).tolist(), strict=True)))
    assert samples.target.tolist() == [c for _, c in expected]
    np.testing.assert_array_equal(samples.features.numpy(), voxels.feats[[v for v, _ in expected]])


def test_points_that_the_network_does_not_see_are_missed(cache: Cache, tiny: IsccConfig, raw: torch.nn.Module):
    near = dataclasses.replace(tiny, data=dataclasses.replace(tiny.data, max_range_m=8.0))
    sweep = cache.sweep("00", 1)
    samples = labelled_voxels(raw, near, [sweep], [voxelize_sweep(sweep, near)], 5)
    found = score_probes(raw, near, {"a": fit_linear_probe(samples, 5)}, cache, [sweep])["a"]
    seen = np.linalg.norm(sweep.xyz, axis=1) <= 8
    assert 0 < found.accuracy <= seen.mean()


def test_labels_without_a_class_are_refused(cache: Cache, tiny: IsccConfig, raw: torch.nn.Module):
    sweep = cache.sweep("00", 1)
    blank = dataclasses.replace(sweep, semantic=np.zeros_like(semantic(sweep)))
    with pytest.raises(UserError, match="no point with a class"):
        labelled_voxels(raw, tiny, [blank], [voxelize_sweep(blank, tiny)], 5)
