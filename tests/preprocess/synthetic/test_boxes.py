"""Boxes of simulated things: they hold their points, and say how much of a thing is seen."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from iscc_lidar.data_schemas.boxes import points_in_box
from iscc_lidar.preprocess.datasets.registry import open_dataset
from iscc_lidar.preprocess.synthetic.boxes import KITTI_CLASSES, OTHER_CLASS, VAN_FROM_M
from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.generate import generate
from iscc_lidar.preprocess.synthetic.solids import ball, bar, box, extent
from iscc_lidar.shared.base.geometry import euler_rotation
from iscc_lidar.shared.layouts.formats.kitti_objects import image_boxes

CLASS = {"Car": 1, "Van": 1, "Pedestrian": 6, "Cyclist": 7, "Truck": 4}


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("streets")
    generate(root, SynthConfig(sequences=3, sweeps=2, columns=512), workers=0)
    return root


def test_boxes_hold_the_points_of_their_things(streets: Path) -> None:
    dataset = open_dataset("synthetic", streets)
    kinds: set[str] = set()
    for sequence in dataset.sequences():
        for index in range(2):
            sweep = dataset.read(sequence, index)
            boxes, camera = sweep.boxes, sweep.camera
            assert boxes is not None
            assert camera is not None
            assert sweep.instance is not None
            assert sweep.semantic is not None
            assert (np.diff(np.linalg.norm(boxes.centre, axis=1)) >= 0).all()
            assert camera.sees(boxes.centre).all()
            np.testing.assert_allclose(boxes.image_box, image_boxes(boxes, camera), atol=0.2)
            for k, kind in enumerate(boxes.kind.tolist()):
                inside = points_in_box(sweep.xyz, boxes.centre[k], boxes.size[k] + 0.2, boxes.heading[k])
                ids, count = np.unique(sweep.instance[inside & (sweep.instance > 0)], return_counts=True)
                assert len(ids) >= 1
                thing = sweep.instance == ids[count.argmax()]
                if kind in CLASS and thing.sum() > 20 and count.max() > 0.5 * thing.sum():
                    kinds.add(kind)
                    assert (inside & thing).sum() > 0.95 * thing.sum()
                    assert (sweep.semantic[thing] == CLASS[kind]).all()
    assert {"Car", "Pedestrian"} <= kinds <= {*KITTI_CLASSES.values(), OTHER_CLASS, "Van"}


def test_a_high_car_is_a_van(streets: Path) -> None:
    dataset = open_dataset("synthetic", streets)
    found = [dataset.read(sequence, 0).boxes for sequence in dataset.sequences()]
    height = {kind: np.concatenate([b.size[b.kind == kind, 2] for b in found if b]) for kind in ("Car", "Van")}
    assert height["Car"].max() <= VAN_FROM_M + 0.01
    assert height["Van"].min() >= VAN_FROM_M - 0.01


def test_what_is_seen_less_is_said_to_be_occluded_more(streets: Path) -> None:
    dataset = open_dataset("synthetic", streets)
    points: dict[int, list[int]] = {0: [], 2: []}
    for sequence in dataset.sequences():
        sweep = dataset.read(sequence, 0)
        assert sweep.boxes is not None
        boxes = sweep.boxes
        for k in np.flatnonzero((boxes.kind == "Car") & (boxes.centre[:, 0] < 30)):
            inside = points_in_box(sweep.xyz, boxes.centre[k], boxes.size[k], boxes.heading[k]).sum()
            points.get(int(boxes.occlusion[k]), []).append(int(inside))
    assert np.median(points[0]) > 2 * np.median(points[2] or [0])


def test_labels_without_a_folder_for_them_are_none(streets: Path, tmp_path: Path) -> None:
    bare = tmp_path / "sequences" / "00"
    bare.mkdir(parents=True)
    for entry in (streets / "sequences" / "00").iterdir():
        if entry.name != "label_2":
            (bare / entry.name).symlink_to(entry)
    sweep = open_dataset("semantickitti", tmp_path).read("00", 0)
    assert sweep.boxes is None
    assert sweep.camera is None


def test_a_label_that_is_wrong_is_a_problem(streets: Path, tmp_path: Path) -> None:
    copy = tmp_path / "sequences" / "00"
    copy.mkdir(parents=True)
    for entry in (streets / "sequences" / "00").iterdir():
        if entry.name != "label_2":
            (copy / entry.name).symlink_to(entry)
    (copy / "label_2").mkdir()
    (copy / "label_2" / "000000.txt").write_text("Car 0 0 nonsense\n")
    problems = [p.message for p in open_dataset("semantickitti", tmp_path).problems("00")]
    assert any("000000.txt, line 1: 4 columns, expected 15" in problem for problem in problems)
    assert any("000001.txt: missing" in problem for problem in problems)


@pytest.mark.parametrize("make", [box, ball])
def test_the_extent_of_a_turned_part_is_tight(make: object) -> None:
    rotation = euler_rotation(0.3, -0.4, 1.1)
    half = np.array([1.0, 0.4, 0.2])
    part = box((1, 2, 3), 2 * half, 10) if make is box else ball((1, 2, 3), half, 10)
    part = dataclasses.replace(part, rotation=rotation)
    unit = np.random.default_rng(0).normal(size=(200_000, 3))
    unit = np.sign(unit) if make is box else unit / np.linalg.norm(unit, axis=1, keepdims=True)
    surface = (unit * half) @ rotation.T + part.centre
    low, high = extent([part])
    np.testing.assert_allclose(low, surface.min(axis=0), atol=2e-3)
    np.testing.assert_allclose(high, surface.max(axis=0), atol=2e-3)


def test_the_extent_of_a_bar_is_tight() -> None:
    part = bar((0, 0, 0), (1, 0, 0), 0.1, 10)
    low, high = extent([part])
    np.testing.assert_allclose(low, [0, -0.1, -0.1], atol=1e-9)
    np.testing.assert_allclose(high, [1, 0.1, 0.1], atol=1e-9)
