"""Predictions averaged over groups: against loops, and in scores and files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.finetune.score import score_run
from iscc_lidar.trainer.finetune.semseg.averaging import GroupMeans, predict_averaged, segment_voxels
from iscc_lidar.trainer.finetune.semseg.config import SemsegConfig
from iscc_lidar.trainer.finetune.semseg.learner import SemsegLearner
from iscc_lidar.trainer.finetune.semseg.segment import predict
from iscc_lidar.trainer.finetune.tasks import TASKS
from iscc_lidar.trainer.run.loop import train


def test_means_are_over_all_points_of_a_group_in_all_sweeps() -> None:
    rng = np.random.default_rng(0)
    sweeps = [(rng.integers(-3, 4, size).astype(np.int32), rng.dirichlet(np.ones(3), size)) for size in (50, 0, 70)]
    means = GroupMeans(3)
    for label, probability in sweeps:
        means.add(label, probability)
    for label, probability in sweeps:
        found = means.average(label, probability)
        for k, group in enumerate(label.tolist()):
            own = [p for labels, ps in sweeps for each, p in zip(labels.tolist(), ps, strict=True) if each == group]
            expected = probability[k] if group < 0 else 0.5 * probability[k] + 0.5 * np.mean(own, axis=0)
            np.testing.assert_allclose(found[k], expected, atol=1e-12)


class Network(torch.nn.Module):
    """Gives a class by the position of a voxel, from 1 to 3, sure or hardly so."""

    def forward(self, coords: torch.Tensor, feats: torch.Tensor) -> torch.Tensor:
        sure = torch.where(coords[:, 2:3] % 3 == 0, 0.1, 4.0)
        return torch.nn.functional.one_hot((coords[:, 1].long() // 4) % 3, 3).float() * sure


def test_both_results_are_those_of_the_network_and_of_its_average(cache_path: Path) -> None:
    cache, network, device = Cache(cache_path), Network(), torch.device("cpu")
    places = [("00", 2), ("00", 4), ("01", 0)]
    found = list(predict_averaged(network, lambda place: cache.sweep(*place), places, 0.2, device))
    assert [(each.sweep.sequence, each.sweep.index) for each in found] == places
    changed = 0
    for each in found:
        np.testing.assert_array_equal(each.alone, predict(network, each.sweep, 0.2, device))
        assert (each.averaged > 0).tolist() == (each.alone > 0).tolist()
        no_group = each.sweep.label < 0
        np.testing.assert_array_equal(each.averaged[no_group], each.alone[no_group])
        changed += int((each.averaged != each.alone).sum())
    assert changed > 0
    alone = segment_voxels(network, found[2].sweep, 0.2, device)
    means = GroupMeans(3)
    means.add(found[2].sweep.label[alone.valid], alone.of_points())
    expected = means.average(found[2].sweep.label[alone.valid], alone.of_points()).argmax(axis=1) + 1
    np.testing.assert_array_equal(found[2].averaged[alone.valid], expected)  # other sequences do not count


def test_sweeps_without_points_have_no_class(sparse_path: Path) -> None:
    cache = Cache(sparse_path)
    found = list(
        predict_averaged(Network(), lambda p: cache.sweep(*p), [("00", k) for k in range(6)], 0.2, torch.device("cpu"))
    )
    assert [len(each.averaged) for each in found] == [len(cache.label("00", k)) for k in range(6)]
    assert not found[1].averaged.any()


def test_both_scores_are_written_and_folders_of_predictions_do_not_mix(
    cache_path: Path, tuning: SemsegConfig, tmp_path: Path
) -> None:
    config = dataclasses.replace(tuning, train=dataclasses.replace(tuning.train, steps=2))
    assert train(SemsegLearner.of(cache_path, config), tmp_path / "run")
    task = TASKS["semseg"]
    plain = score_run(task, tmp_path / "run", cache_path, predictions=tmp_path / "plain")
    both = score_run(task, tmp_path / "run", cache_path, predictions=tmp_path / "averaged", average=True)
    assert both["confusion"] == plain["confusion"]
    assert "averaged_over_groups" not in plain
    assert sum(map(sum, both["averaged_over_groups"]["confusion"])) == sum(map(sum, both["confusion"]))
    assert json.loads((tmp_path / "run/segmentation.json").read_text()) == both
    names = Cache(cache_path).manifest.class_names
    for scores in (both, both["averaged_over_groups"]):
        by_sequence = scores["confusion_by_sequence"]
        assert set(by_sequence) == {"00", "01"}
        for (t, p), count in np.ndenumerate(np.array(scores["confusion"])):
            assert count == sum(of.get(names[t], {}).get(names[p], 0) for of in by_sequence.values())
    assert "mIoU over groups" in task.table(both)
    with pytest.raises(UserError, match="averaged over groups, and they must not mix"):
        score_run(task, tmp_path / "run", cache_path, predictions=tmp_path / "plain", average=True)
