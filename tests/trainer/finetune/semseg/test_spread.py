"""Training on spread labels: which sweeps, which weights, and what the run records."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from spread_writer import write_spread
from typer.testing import CliRunner

from iscc_lidar.data_schemas import spread as schema
from iscc_lidar.data_schemas.spread import FROM_LABEL, FROM_POSITION
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.cli import app
from iscc_lidar.trainer.data.pairs import SampleKey
from iscc_lidar.trainer.data.voxelize import voxelize
from iscc_lidar.trainer.finetune.semseg.config import SemsegConfig
from iscc_lidar.trainer.finetune.semseg.learner import SemsegLearner
from iscc_lidar.trainer.finetune.semseg.loss import weighted_cross_entropy
from iscc_lidar.trainer.finetune.semseg.samples import majority_class, mean_weight
from iscc_lidar.trainer.run.loop import train


@pytest.fixture
def spread(cache_path: Path, tmp_path: Path) -> Path:
    """Of sequence 00, whose sweep 2 is labelled; the others have the cache's classes but 1, with confidence 0.8."""
    return write_spread(tmp_path / "spread", Cache(cache_path), {"00": [2]}, confidence=0.8, hidden=1)


def test_all_sweeps_of_the_sequences_are_trained_on_and_steps_are_those_of_the_labelled_ones(
    cache_path: Path, tuning: SemsegConfig, spread: Path, tmp_path: Path
) -> None:
    learner = SemsegLearner.of_spread(cache_path, tuning, spread)
    assert learner.places == [("00", 2)]
    assert learner.trained_on == [("00", k) for k in range(6)]
    (tmp_path / "list.txt").write_text("00/" + Cache(cache_path).sweep_names("00")[2] + "\n")
    assert learner.steps == SemsegLearner.of(cache_path, tuning, listed=tmp_path / "list.txt").steps
    assert learner.dataset.count_classes()[0] == np.count_nonzero(Cache(cache_path).classes("00", 2) == 1)


def test_a_voxel_is_weighted_by_the_confidence_of_its_points(
    cache_path: Path, tuning: SemsegConfig, spread: Path
) -> None:
    dataset = SemsegLearner.of_spread(cache_path, tuning, spread).dataset
    for place, weight in ((2, 1.0), (3, 0.8)):
        sample = dataset[SampleKey(0, place)]
        assert set(np.unique(sample.weight[sample.target > 0]).round(2)) == {np.float32(weight)}
        assert not sample.weight[sample.target == 0].any()
    plain = SemsegLearner(Cache(cache_path), [("00", 2)], tuning).dataset[SampleKey(0, 0)]
    assert set(plain.weight[plain.target > 0].tolist()) == {1.0}


def test_weights_against_a_loop() -> None:
    rng = np.random.default_rng(1)
    xyz = rng.uniform(0, 1, (400, 3)).astype(np.float32)
    classes, weights = rng.integers(0, 4, 400).astype(np.int32), rng.uniform(0, 1, 400).astype(np.float32)
    voxels = voxelize(xyz, xyz[:, 0], 0.2)
    target = majority_class(classes, voxels, 4)
    found = mean_weight(classes, weights, voxels, target)
    for voxel in range(len(target)):
        own = weights[(voxels.of_point == voxel) & (classes == target[voxel]) & (classes > 0)]
        assert found[voxel] == pytest.approx(own.mean() if len(own) else 0, abs=1e-6)


def test_the_loss_counts_a_voxel_as_much_as_its_weight() -> None:
    logits, target = torch.randn(6, 3), torch.tensor([1, 2, 3, 1, 0, 2])
    of_class, of_voxel = torch.tensor([1.0, 2, 3]), torch.tensor([1.0, 0.5, 0, 1, 1, 0.25])
    total, mass = weighted_cross_entropy(logits, target, of_voxel, of_class)
    each = torch.nn.functional.cross_entropy(logits, (target - 1).clamp(min=0), reduction="none")
    expected = each[0] + 0.5 * 2 * each[1] + each[3] + 0.25 * 2 * each[5]
    torch.testing.assert_close(total, expected)
    assert float(mass) == pytest.approx(1 + 1 + 0 + 1 + 0.5)


def test_no_spread_label_reaches_a_sweep_that_is_scored(
    cache_path: Path, tuning: SemsegConfig, spread: Path, tmp_path: Path
) -> None:
    names = Cache(cache_path).sweep_names("00")
    (tmp_path / "val.txt").write_text(f"00/{names[0]}\n00/{names[5]}\n01/{Cache(cache_path).sweep_names('01')[0]}\n")
    learner = SemsegLearner.of_spread(cache_path, tuning, spread, scored=(str(cache_path), tmp_path / "val.txt"))
    assert learner.trained_on == [("00", k) for k in (1, 2, 3, 4)]
    everything = SemsegLearner.of_spread(cache_path, tuning, spread, scored=(str(cache_path), None))
    assert everything.trained_on == [("00", 2)]  # its own label is the user's choice


def test_a_list_limits_the_sweeps_whose_spread_labels_are_used(
    cache_path: Path, tuning: SemsegConfig, spread: Path, tmp_path: Path
) -> None:
    names = Cache(cache_path).sweep_names("00")
    (tmp_path / "among.txt").write_text(f"00/{names[0]}\n00/{names[3]}\n")
    learner = SemsegLearner.of_spread(cache_path, tuning, spread, among=tmp_path / "among.txt")
    assert learner.trained_on == [("00", k) for k in (0, 2, 3)], "and what is labelled"


def test_the_run_records_what_was_labelled_and_what_spread(
    cache_path: Path, other_cache_path: Path, tuning: SemsegConfig, spread: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(tuning, train=dataclasses.replace(tuning.train, steps=2))
    learner = SemsegLearner.of_spread(cache_path, config, spread, scored=(str(other_cache_path), None))
    assert "1 labelled sweeps of 12, labels spread to 6 sweeps: " in learner.plan.data
    assert train(learner, tmp_path / "run")
    recorded = json.loads((tmp_path / "run/config.json").read_text())["provenance"]
    manifest = schema.from_json((spread / schema.SPREAD_FILE).read_text())
    points = np.sum([part.points for part in manifest.sequences[0].parts], axis=0)
    assert list(recorded["spread_points"].values()) == points.tolist()
    assert points[FROM_LABEL] > 0
    assert points[FROM_POSITION] > 0
    assert recorded["spread labels"] == str(spread)
    assert len(recorded["spread_sha256"]) == 64
    # Other labels are another run.
    again = write_spread(tmp_path / "again", Cache(cache_path), {"00": [2]}, confidence=0.5, hidden=1)
    with pytest.raises(UserError, match="spread labels"):
        train(SemsegLearner.of_spread(cache_path, config, again), tmp_path / "run", resume=True)
    # So are none; the labelled sweeps are the same.
    few = SemsegLearner(learner.cache, learner.places, config)
    with pytest.raises(UserError, match=r"one input more \(spread"):
        train(few, tmp_path / "run", resume=True)


def test_options_that_contradict_spread_labels_are_refused(cache_path: Path, spread: Path, tmp_path: Path) -> None:
    words = ["finetune", "semseg", "--train-cache", cache_path, "--spread", spread, "--out", tmp_path / "run"]
    done = CliRunner().invoke(app, [*(str(word) for word in words), "--labelled", "x"])
    assert done.exit_code == 1
    assert "--spread: is without --labelled" in done.output
    words = ["finetune", "semseg", "--train-cache", cache_path, "--spread", tmp_path, "--out", tmp_path / "run"]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 1
    assert "no spread labels here" in done.output
    assert not (tmp_path / "run").exists()
