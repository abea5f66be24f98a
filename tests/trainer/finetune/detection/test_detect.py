"""Detection runs: they learn, go on where they were interrupted, and what they find is written as KITTI wants it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import open_dataset
from iscc_lidar.preprocess.run.pipeline import preprocess
from iscc_lidar.preprocess.segment.windows import WindowConfig
from iscc_lidar.shared.base.config import resolve
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.own import own_folder
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.layouts.formats.kitti_objects import read_objects, to_sensor
from iscc_lidar.shared.layouts.kitti import write_detections
from iscc_lidar.shared.store.open import open_store
from iscc_lidar.trainer.evaluation.detection.kitti_ap import score
from iscc_lidar.trainer.evaluation.detection.objects import detections_of, join, labels_of
from iscc_lidar.trainer.finetune.detection.config import RECIPES, DetectionConfig
from iscc_lidar.trainer.finetune.detection.learner import DetectionLearner
from iscc_lidar.trainer.finetune.score import score_run
from iscc_lidar.trainer.finetune.tasks import TASKS

import waymo_writer as writer
from steps import KilledError, die_in_step, finetune


def with_train(config: DetectionConfig, **changes: object) -> DetectionConfig:
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **changes))


@pytest.mark.slow
def test_it_learns_the_few_sweeps_that_it_sees(boxed: Cache, detecting: DetectionConfig, tmp_path: Path) -> None:
    plain = resolve(
        DetectionConfig,
        None,
        ["paste.fill_to=[0,0,0]", "augment.rotate_deg=0.0", "augment.scale=0.0", "augment.drop=0.0"],
    )
    learning = dataclasses.replace(
        with_train(detecting, steps=120), paste=plain.paste, augment=dataclasses.replace(plain.augment, flip=False)
    )
    learnt = tmp_path / "learnt.txt"
    learnt.write_text("00/000000\n01/000001\n")
    finetune(DetectionLearner, boxed.path, tmp_path / "run", learning, listed=learnt)
    content = score_run(TASKS["detection"], tmp_path / "run", boxed.path, learnt, tmp_path / "results")
    # KITTI's score of a dozen labels is at most a dozen 41sts: what is found counts here.
    labels = content["labels"]["Car"]["hard"]
    assert labels >= 3
    most = score_of_the_truth(boxed, learnt)
    assert content["ap_r40"]["bev"]["Car"]["hard"] > 0.5 * most
    assert "moderate 3d" in TASKS["detection"].table(content)
    assert (tmp_path / "run/detection.png").stat().st_size > 10_000
    first = read_objects(tmp_path / "results/00/000000.txt", scored=True)
    assert set(first.kind.tolist()) <= {"Car", "Pedestrian", "Cyclist"}
    assert first.score is not None
    assert (np.diff(first.score[first.kind == "Car"]) <= 0).all()


def score_of_the_truth(cache: Cache, listed: Path) -> float:
    """What the labels themselves would score as detections."""
    labels, found = [], []
    for number, line in enumerate(listed.read_text().split()):
        place = line.split("/")[0], int(line.split("/")[1])
        boxes, camera = cache.boxes(*place), cache.camera(*place)
        assert boxes is not None
        labels.append(labels_of(boxes, camera, number))
        found.append(detections_of(boxes, np.linspace(1, 0.1, len(boxes)), camera, number))
    curve = score(join(labels), join(found), "ground")["Car", "hard"]
    assert curve.precision.max() == 1.0
    return curve.r40


def test_an_interrupted_run_ends_bit_for_bit_the_same(
    boxed: Cache, detecting: DetectionConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert finetune(DetectionLearner, boxed.path, tmp_path / "whole", detecting)
    with monkeypatch.context() as patch:
        die_in_step(patch, 3)
        with pytest.raises(KilledError):
            finetune(DetectionLearner, boxed.path, tmp_path / "run", detecting)
    assert finetune(DetectionLearner, boxed.path, tmp_path / "run", detecting, resume=True)
    for name in ("detection.safetensors", "metrics.jsonl", "labelled.txt"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_fractions_and_published_lists_say_which_frames_are_learnt(
    real_boxes: Path, tmp_path: Path, detecting: DetectionConfig
) -> None:
    from iscc_lidar.preprocess.config import PreprocessConfig
    from iscc_lidar.preprocess.datasets.registry import open_dataset
    from iscc_lidar.preprocess.run.pipeline import preprocess
    from iscc_lidar.shared.store.open import open_store

    dataset = open_dataset("kitti", real_boxes)
    preprocess(dataset, open_store(tmp_path / "cache"), PreprocessConfig(), sequences=dataset.splits()["val"][:3])
    (tmp_path / "5_0.txt").write_text("000045\n000044\n")  # as the published lists have them
    finetune(
        DetectionLearner,
        tmp_path / "cache",
        tmp_path / "run",
        with_train(detecting, steps=1),
        listed=tmp_path / "5_0.txt",
    )
    assert "training_000045/000045" in (tmp_path / "run/labelled.txt").read_text()
    score_run(TASKS["detection"], tmp_path / "run", tmp_path / "cache", predictions=tmp_path / "results")
    assert sorted(f.name for f in (tmp_path / "results").glob("*.txt")) == ["000044.txt", "000045.txt", "000046.txt"]
    assert json.loads((tmp_path / "run/detection.json").read_text())["sweeps"] == 3


def test_truth_written_as_results_is_read_back_and_scores_all(boxed: Cache, tmp_path: Path) -> None:
    boxes, camera = boxed.boxes("00", 0), boxed.camera("00", 0)
    assert boxes is not None
    assert camera is not None
    out = own_folder(tmp_path, "predictions")
    write_detections(out, "00", "000000", boxes, np.linspace(1, 0, len(boxes)), camera)
    again = to_sensor(read_objects(tmp_path / "00/000000.txt", scored=True), camera)
    np.testing.assert_allclose(again.centre, boxes.centre, atol=1e-3)
    np.testing.assert_allclose(again.size, boxes.size, atol=1e-3)
    with pytest.raises(UserError, match="has no camera"):
        write_detections(out, "00", "000000", boxes, np.ones(len(boxes)), None)


def test_waymos_boxes_go_the_same_way_and_every_label_counts(detecting: DetectionConfig, tmp_path: Path) -> None:
    ((context, frames),) = writer.write_dataset(tmp_path / "waymo").items()
    writer.write_boxes(
        tmp_path / "waymo",
        context,
        [
            (frame.timestamp, kind, (x, -3.0, 1.0, 4.5, 1.9, 1.6, 0.3))
            for frame in frames
            for kind, x in ((1, 10.0), (2, 14.0), (3, 18.0), (4, -10.0))  # 3 is a sign, which is not detected
        ],
    )
    windows = PreprocessConfig(window=WindowConfig(sweeps=2, stride=1))
    preprocess(open_dataset("waymo", tmp_path / "waymo"), open_store(tmp_path / "cache"), windows)
    recipe = resolve(DetectionConfig, RECIPES / "waymo.toml", ["classes.min_points=0"])
    small = dataclasses.replace(
        detecting, classes=recipe.classes, grid=dataclasses.replace(recipe.grid, x_min_m=-25.6, x_max_m=25.6)
    )
    finetune(DetectionLearner, tmp_path / "cache", tmp_path / "run", small)
    content = score_run(TASKS["detection"], tmp_path / "run", tmp_path / "cache")
    counted = {kind: levels["easy"] for kind, levels in content["labels"].items()}
    assert counted == {"Vehicle": len(frames), "Pedestrian": len(frames), "Cyclist": len(frames), "Car": 0}
    with pytest.raises(UserError, match="has no camera"):
        score_run(TASKS["detection"], tmp_path / "run", tmp_path / "cache", predictions=tmp_path / "results")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("grid.cell_m=0.0", "cell_m"),
        ("grid.x_max_m=-1.0", "x_min_m must be below"),
        ("head.width=0", "at least 1"),
        ("paste.min_points=0", "min_points"),
    ],
)
def test_options_that_make_no_sense_are_refused(setting: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve(DetectionConfig, None, [setting])
