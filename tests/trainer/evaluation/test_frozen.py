import numpy as np
import pytest
import torch

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.voxelize import INPUT_CHANNELS
from iscc_lidar.trainer.evaluation.frozen import calibrate, grouped_view, spread_sweeps, voxelize_sweep
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig


def test_sweeps_are_spread_over_the_whole_cache(cache: Cache):
    picked = spread_sweeps(cache, 4, seed=0)
    assert [name for name, _ in picked] == ["00", "00", "01", "01"]
    assert picked == spread_sweeps(cache, 4, seed=0)
    assert len(spread_sweeps(cache, 0, seed=0)) == 12


def test_sweeps_without_labels_are_passed_over_where_labels_are_needed(cache: Cache, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Cache, "labelled_sweeps", lambda _, name: [0, 5] if name == "01" else [])
    assert spread_sweeps(cache, 0, seed=0, labelled=True) == [("01", 0), ("01", 5)]
    assert len(spread_sweeps(cache, 0, seed=0)) == 12
    monkeypatch.setattr(Cache, "labelled_sweeps", lambda *_: [])
    with pytest.raises(UserError, match="no sweep has semantic labels"):
        spread_sweeps(cache, 4, seed=0, labelled=True)


def test_calibration_sets_statistics_to_the_mean_over_sweeps(cache: Cache, tiny: IsccConfig):
    norm = torch.nn.BatchNorm1d(INPUT_CHANNELS)
    encoder = torch.nn.Module()
    encoder.norm = norm
    encoder.forward = lambda bxyz, feats: norm(feats)  # type: ignore[method-assign]
    seen = [voxelize_sweep(cache.sweep("00", n), tiny) for n in range(3)]
    norm.running_mean += 100
    calibrate(encoder, seen)
    expected = np.mean([v.feats.mean(axis=0) for v in seen], axis=0)
    np.testing.assert_allclose(norm.running_mean.numpy(), expected, rtol=1e-4, atol=1e-5)
    assert norm.momentum == 0.1
    assert not norm.training


def test_groups_lie_in_the_voxels_of_their_points(cache: Cache, tiny: IsccConfig):
    sweep = cache.sweep("00", 0)
    voxels = voxelize_sweep(sweep, tiny)
    view = grouped_view(voxels, sweep.label, np.array([3, 5], np.int32))
    for slot, group in enumerate((3, 5)):
        own = view.member_group == slot
        points = np.bincount(voxels.of_point[sweep.label == group], minlength=len(voxels.coords))
        np.testing.assert_array_equal(view.member_voxel[own].numpy(), np.flatnonzero(points))
        np.testing.assert_array_equal(view.member_points[own].numpy(), points[points > 0])
