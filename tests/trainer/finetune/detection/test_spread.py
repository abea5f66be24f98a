"""Training on spread boxes: which boxes, which areas are ignored, and what the run records."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from spread_writer import write_spread
from typer.testing import CliRunner

from iscc_lidar.data_schemas.spread import UNKNOWN_KIND
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.cli import app
from iscc_lidar.trainer.data.pairs import SampleKey
from iscc_lidar.trainer.finetune.detection.config import DetectionConfig
from iscc_lidar.trainer.finetune.detection.learner import DetectionLearner
from iscc_lidar.trainer.finetune.detection.samples import read_scene


@pytest.fixture
def spread(boxed: Cache, tmp_path: Path) -> Path:
    """Boxes of sweep 1 of street 00 on its three sweeps."""
    return write_spread(tmp_path / "spread", boxed, {"00": [1]})


def test_boxes_are_the_spread_ones_and_unknown_areas_are_ignored(
    boxed: Cache, detecting: DetectionConfig, spread: Path
) -> None:
    learner = DetectionLearner.of_spread(boxed.path, detecting, spread)
    assert learner.places == [("00", 1)]
    assert learner.trained_on == [("00", 0), ("00", 1), ("00", 2)]
    assert learner.available == 6
    scene = read_scene(boxed, detecting, learner.spread, "00", 0)
    assert (scene.boxes.kind == UNKNOWN_KIND).sum() == 1
    sample = learner.dataset.make(SampleKey(0, 0))
    own = DetectionLearner(boxed, learner.trained_on, detecting).dataset.make(SampleKey(0, 0))
    assert sample is not None
    assert own is not None
    np.testing.assert_array_equal(sample.targets.code, own.targets.code)
    assert sample.targets.ignored.sum() > own.targets.ignored.sum()


def test_the_run_records_the_boxes(boxed: Cache, detecting: DetectionConfig, spread: Path, tmp_path: Path) -> None:
    learner = DetectionLearner.of_spread(boxed.path, detecting, spread)
    counts = learner.plan.facts["spread_boxes"]
    assert f"1 labelled sweeps of 6, labels spread to 3 sweeps: {counts['position']:,} boxes" in learner.plan.data
    assert counts["label"] == len(boxed.boxes("00", 1) or ())
    assert counts["nothing"] == 3
    assert json.dumps(counts)


def test_labels_without_boxes_are_refused(cache_path: Path, tmp_path: Path) -> None:
    labels = write_spread(tmp_path / "spread", Cache(cache_path), {"00": [2]})
    words = ["finetune", "detection", "--train-cache", cache_path, "--spread", labels, "--out", tmp_path / "run"]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 1
    assert "no sweep has boxes" in done.output
    assert not (tmp_path / "run").exists()
