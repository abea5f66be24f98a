"""The detection table: its jobs, its results, and what they say in the mean."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from iscc_lidar.preprocess.spread.rule import SpreadConfig
from iscc_lidar.shared.base.config import resolve
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.reproduce import authors_slides
from iscc_lidar.trainer.reproduce.config import ALONE, LABELS, ReproduceConfig
from iscc_lidar.trainer.reproduce.plan import Caches, fine_tunings, plan
from iscc_lidar.trainer.reproduce.reproduce import PRESETS
from iscc_lidar.trainer.reproduce.results import BoxResult, read_box_results, read_csv, write_csv
from iscc_lidar.trainer.reproduce.tables import box_tables

CACHES = Caches({"standard": [Path("train")]}, Path("test"))


def result(method: str, seed: int, ap: float | None, fraction: float = 5.0, kind: str = "Car") -> BoxResult:
    return BoxResult(method, "kitti", "quick", "alone", fraction, seed, None, kind, "moderate", "3d", 80, ap, ap)


def test_detection_goes_on_from_the_same_encoders_as_segmentation() -> None:
    config = ReproduceConfig(experiments=("scratch", "iscc"), percents=(1.0,), detection_percents=(5.0,), seeds=(0,))
    jobs = {job.name: job for job in plan(config, CACHES, Path("out"))}
    assert list(jobs) == [
        "finetune/quick/scratch/percent1-seed0",
        "pretrain/iscc/seed0",
        "finetune/quick/iscc/percent1-seed0",
        "detect/quick/scratch/percent5-seed0",
        "detect/quick/iscc/percent5-seed0",
    ]
    job = jobs["detect/quick/iscc/percent5-seed0"]
    assert job.arguments[:2] == ("finetune", "detection")
    assert job.needs == ("pretrain/iscc/seed0",)
    assert job.product.name == "detection.json"
    assert "labels.percent=5.0" in job.arguments


def test_boxes_are_learnt_alone_and_spread() -> None:
    labels = ("alone", "position", "both")
    config = ReproduceConfig(
        experiments=("scratch",), detection_percents=(1.0,), percents=(1.0,), seeds=(0,), labels=labels
    )
    jobs = {job.name: job for job in plan(config, CACHES, Path("out")) if "detect" in job.name}
    assert list(jobs) == [
        "detect/quick/scratch/percent1-seed0",
        "spread/both/detect/percent1-seed0",
        "detect/both/quick/scratch/percent1-seed0",
    ]
    spread, learn = list(jobs.values())[1:]
    assert "out/lists/detect/percent1-seed0.txt" in spread.arguments, "drawn among the sweeps with boxes"
    assert learn.needs == (spread.name,)
    assert learn.arguments[learn.arguments.index("--spread") + 1] == f"out/{spread.name}"
    found = [result("scratch", 0, 20.0), replace(result("scratch", 0, 30.0), labels="both")]
    assert "fine-tuned by quick on labels spread by position and groups\n\n" in box_tables(found)


def test_labels_are_spread_by_rules_that_there_are() -> None:
    assert {*LABELS} - {ALONE} == set(get_args(get_type_hints(SpreadConfig)["rule"]))


def test_preset_detection_is_quick_and_more() -> None:
    quick, both = (resolve(ReproduceConfig, PRESETS / f"{name}.toml") for name in ("quick", "detection"))
    of_quick = [t.name for t in fine_tunings(quick)]
    assert [t.name for t in fine_tunings(both) if t.task == "semseg"] == of_quick
    assert len([t for t in fine_tunings(both) if t.task == "detection"]) == 36
    done = {job.name: job.arguments for job in plan(quick, CACHES, Path("out"))}
    again = {job.name: job.arguments for job in plan(both, CACHES, Path("out"))}
    assert done.items() <= again.items()


def test_results_are_read_and_written(tmp_path: Path) -> None:
    (tuning,) = fine_tunings(ReproduceConfig(experiments=("iscc",), percents=(), detection_percents=(5.0,), seeds=(1,)))
    levels = {"easy": 50.0, "moderate": 40.0, "hard": None}
    content = {
        "ap_r11": {"3d": {"Car": levels}},
        "ap_r40": {"3d": {"Car": levels}},
        "labels": {"Car": {"easy": 10.0, "moderate": 20.0, "hard": 0.0}},
    }
    (tmp_path / tuning.name).mkdir(parents=True)
    (tmp_path / tuning.name / "detection.json").write_text(json.dumps(content))
    found = read_box_results(tuning, "kitti", tmp_path)
    assert [(r.level, r.counted, r.ap_r11) for r in found] == [
        ("easy", 10, 50),
        ("moderate", 20, 40),
        ("hard", 0, None),
    ]
    write_csv(tmp_path / "detection.csv", found)
    head, _, second, third = (tmp_path / "detection.csv").read_text().splitlines()
    assert head.startswith("method,dataset,schedule,labels,fraction,seed,pretraining,kind,level,overlap,counted,ap_r11")
    assert second == "iscc,kitti,quick,alone,5,1,1,Car,moderate,3d,20,40,40"
    assert third.endswith(",hard,3d,0,,")
    assert read_csv(tmp_path / "detection.csv", BoxResult) == found
    (tmp_path / "other.csv").write_text("method,dataset\niscc,kitti\n")
    with pytest.raises(UserError, match=r"other\.csv: not a detection\.csv"):
        read_csv(tmp_path / "other.csv", BoxResult)


def test_a_table_has_gains_seed_by_seed_and_the_authors() -> None:
    found = [
        *(result("scratch", seed, ap) for seed, ap in enumerate((20.0, 30.0))),
        *(result("iscc", seed, ap) for seed, ap in enumerate((26.0, 38.0))),
        result("scratch", 0, None, kind="Cyclist"),
    ]
    text = box_tables(found)
    assert "### Detection, Car (80 labels scored), AP R11 moderate, fine-tuned by quick" in text
    assert "| from scratch | 25.0 ± 7.1 |  |  |" in text
    assert "| ISCC | 32.0 ± 8.5 | +7.0 ± 1.4 | +8.7 |" in text


def test_the_authors_gains_are_those_of_the_slides() -> None:
    assert authors_slides.detection_gain("Car", "iscc", 5.0) == pytest.approx(8.7)
    assert authors_slides.detection_gain("Pedestrian", "iscc", 10.0) == pytest.approx(-2.3)
    assert authors_slides.detection_gain("Cyclist", "iscc", 50.0) == pytest.approx(3.3)
    assert authors_slides.detection_gain("Cyclist", "segcontrast", 50.0) is None
    assert authors_slides.detection_gain("Cyclist", "iscc", 7.0) is None
