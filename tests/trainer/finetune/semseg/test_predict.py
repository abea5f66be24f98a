import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.places import all_labelled
from iscc_lidar.trainer.finetune.score import score_run
from iscc_lidar.trainer.finetune.semseg.config import SemsegConfig
from iscc_lidar.trainer.finetune.semseg.learner import SemsegLearner
from iscc_lidar.trainer.finetune.semseg.segment import predict
from iscc_lidar.trainer.finetune.tasks import TASKS

from steps import finetune


class ByHeight(nn.Module):
    """Says class 1 below the sensor and class 2 above."""

    def forward(self, coords: Tensor, feats: Tensor) -> Tensor:
        above = feats[:, 2] > 0
        return torch.stack([~above, above], dim=1).float()


def test_every_point_gets_its_own_voxels_class_and_points_that_do_not_exist_none(cache: Cache):
    sweep = cache.sweep("00", 0)
    xyz = sweep.xyz.copy()
    xyz[5] = 0
    xyz[7] = [120, 0, 3]  # beyond what training and grouping consider
    sweep = dataclasses.replace(sweep, xyz=xyz)
    predicted = predict(ByHeight().eval(), sweep, 0.001, torch.device("cpu"))
    expected = np.where(xyz[:, 2] > 0, 2, 1)
    expected[5] = 0
    assert np.array_equal(predicted, expected)


def test_a_sweep_without_any_point_is_predicted_too(cache: Cache):
    sweep = cache.sweep("00", 0)
    empty = dataclasses.replace(sweep, xyz=np.zeros_like(sweep.xyz))
    assert not predict(ByHeight().eval(), empty, 0.5, torch.device("cpu")).any()


def test_a_list_says_which_sweeps_are_scored_and_other_classes_are_refused(
    cache_path: Path, tuning: SemsegConfig, tmp_path: Path
):
    cache = Cache(cache_path)
    assert len(all_labelled(cache)) == 12
    (tmp_path / "val.txt").write_text("00/000004\n00/000005\n")
    finetune(
        SemsegLearner,
        cache_path,
        tmp_path / "run",
        dataclasses.replace(tuning, train=dataclasses.replace(tuning.train, steps=1)),
    )
    content = score_run(TASKS["semseg"], tmp_path / "run", cache_path, tmp_path / "val.txt")
    assert content["sweeps"] == 2
    assert np.sum(content["confusion"]) == sum(len(cache.sweep("00", i).xyz) for i in (4, 5))
    config = tmp_path / "run/config.json"
    config.write_text(config.read_text().replace('"wall"', '"house"'))
    with pytest.raises(UserError, match=r"was trained for the classes .*house"):
        score_run(TASKS["semseg"], tmp_path / "run", cache_path)
