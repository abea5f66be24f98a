"""Pasting, augmentation and samples: points stay in their boxes, and nothing comes from elsewhere."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from iscc_lidar.data_schemas.boxes import Camera, no_boxes, points_in_box
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import open_dataset
from iscc_lidar.preprocess.run.pipeline import preprocess
from iscc_lidar.shared.base.config import resolve
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.store.open import open_store
from iscc_lidar.trainer.data.pairs import SampleKey
from iscc_lidar.trainer.data.places import Place
from iscc_lidar.trainer.finetune.detection.augment import BoxAugmentConfig, Scene, augment_scene
from iscc_lidar.trainer.finetune.detection.config import DetectionConfig
from iscc_lidar.trainer.finetune.detection.learner import DetectionLearner
from iscc_lidar.trainer.finetune.detection.paste import PasteConfig, cut_objects, inside_box, paste
from iscc_lidar.trainer.finetune.detection.samples import BoxDataset, all_boxed, collate, scene_of
from iscc_lidar.trainer.finetune.detection.targets import CODE, SIZE
from iscc_lidar.trainer.hardware.device import ON_CPU

NAMES = ("Car", "Pedestrian", "Cyclist")


@pytest.fixture
def config() -> DetectionConfig:
    return resolve(DetectionConfig, None, ["train.loader_workers=0", "train.device=cpu"])


def learner_of(cache: Cache, places: list[Place], config: DetectionConfig) -> DetectionLearner:
    return DetectionLearner(cache, places, config)


def scene(cache: Cache, config: DetectionConfig, sequence: str = "00", index: int = 0) -> Scene:
    place = (sequence, index)
    return scene_of(cache.sweep(*place), cache.boxes(*place), cache.camera(*place), config)


def test_a_scene_is_what_camera_and_grid_see(boxed: Cache, config: DetectionConfig) -> None:
    found = scene(boxed, config)
    camera = boxed.camera("00", 0)
    assert isinstance(camera, Camera)
    assert camera.sees(found.xyz).all()
    assert config.grid.contains(found.xyz).all()
    assert set(found.boxes.kind.tolist()) <= {*NAMES, "Van"}
    everywhere = resolve(DetectionConfig, None, ["grid.in_image=false", "grid.x_min_m=-40.0"])
    assert len(scene(boxed, everywhere).xyz) > 2 * len(found.xyz)


@pytest.mark.parametrize("seed", range(6))
def test_points_stay_in_their_boxes(boxed: Cache, config: DetectionConfig, seed: int) -> None:
    before = scene(boxed, config)
    kept = BoxAugmentConfig(drop=0.0)
    after = augment_scene(before, kept, np.random.default_rng(seed))
    for k in range(len(before.boxes)):
        here, there = inside_box(before, k), inside_box(after, k)
        assert len(np.setxor1d(here, there)) <= max(1, 0.02 * len(here))  # rounding at a face
    thinner = augment_scene(before, BoxAugmentConfig(drop=0.5), np.random.default_rng(seed))
    assert len(thinner.xyz) < len(before.xyz)


def test_pasted_objects_stand_free_and_push_points_away(boxed: Cache, config: DetectionConfig) -> None:
    donors = [scene(boxed, config, "01", k) for k in range(3)]
    bank = cut_objects(donors, NAMES, PasteConfig())
    assert sum(map(len, bank)) > 3
    before = scene(boxed, config)
    after = paste(before, bank, NAMES, PasteConfig(fill_to=(30, 30, 30)), np.random.default_rng(0))
    new = len(after.boxes) - len(before.boxes)
    assert new > 0
    assert after.boxes.kind[: len(before.boxes)].tolist() == before.boxes.kind.tolist()
    everything = [o for of_class in bank for o in of_class]
    for k in range(len(before.boxes), len(after.boxes)):
        (one,) = (o for o in everything if np.array_equal(o.box.centre[0, :2], after.boxes.centre[k, :2]))
        assert len(inside_box(after, k)) == len(one.xyz)  # its own points and no other
        for j in range(k):
            apart = np.linalg.norm(after.boxes.centre[k, :2] - after.boxes.centre[j, :2])
            assert apart > min(after.boxes.size[[k, j], 1]) / 2
    assert paste(before, bank, NAMES, PasteConfig(fill_to=(0, 0, 0)), np.random.default_rng(0)) is before


def test_objects_come_from_the_sweeps_in_use_alone_unless_told_to_leak(boxed: Cache, config: DetectionConfig) -> None:
    everything = all_boxed(boxed)
    honest = BoxDataset(boxed, [("00", 0)], everything, config)
    leaking = BoxDataset(boxed, [("00", 0)], everything, resolve(DetectionConfig, None, ["paste.leak_all_labels=true"]))
    own = {tuple(box) for box in scene(boxed, config).boxes.centre.tolist()}
    for dataset, only_own in ((honest, True), (leaking, False)):
        used = {tuple(o.box.centre[0].tolist()) for of_class in dataset._bank for o in of_class}
        assert used
        assert (used <= own) == only_own


def test_a_key_gives_the_same_sample_in_another_process(boxed: Cache, config: DetectionConfig) -> None:
    dataset = learner_of(boxed, [("00", 0), ("01", 1)], config).dataset
    first = collate([dataset[SampleKey(0, 0)], dataset[SampleKey(0, 1)]])
    copy = pickle.loads(pickle.dumps(dataset))  # noqa: S301
    again = collate([copy[SampleKey(0, 0)], copy[SampleKey(0, 1)]])
    tensors: list[list[np.ndarray]] = [[], []]
    for batch, held in zip((first, again), tensors, strict=True):
        batch.map(lambda t, held=held: held.append(t.numpy()) or t)
    for one, other in zip(*tensors, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (first.heat.flatten()[first.at] > 0.3).all()  # places in the maps of their own scene and class
    assert int(first.cell.max()) >= first.heat[0, 0].numel()  # of the second scene
    assert not np.array_equal(dataset[SampleKey(1, 0)].offset[:20], dataset[SampleKey(0, 0)].offset[:20])


def test_nothing_is_learnt_where_a_kind_much_like_a_class_stands(boxed: Cache, config: DetectionConfig) -> None:
    place = next(p for p in all_boxed(boxed) if "Van" in scene(boxed, config, *p).boxes.kind)
    options = ["paste.fill_to=[0,0,0]", "augment.flip=false", "augment.rotate_deg=0", "augment.scale=0"]
    with_vans = resolve(DetectionConfig, None, [*options, "augment.drop=0"])
    without = replace(with_vans, classes=replace(config.classes, ignored=()))
    here, there = (BoxDataset(boxed, [place], [], c)[SampleKey(0, 0)].targets for c in (with_vans, without))
    assert np.array_equal(here.at, there.at)
    assert np.array_equal(here.heat, there.heat)
    more = here.ignored & ~there.ignored
    boxes = scene(boxed, config, *place).boxes
    corner, cell = config.grid.corner, config.grid.cell_m
    x, y = np.floor((boxes.centre[boxes.kind == "Van", :2] - corner) / cell).astype(np.int64).T
    assert more[x, y].all()


def test_voxels_know_their_cell(boxed: Cache, config: DetectionConfig) -> None:
    sample = learner_of(boxed, [("00", 0)], config).dataset[SampleKey(0, 0)]
    at = np.stack(np.divmod(sample.cell, config.grid.shape[1]), axis=1)
    place = config.grid.corner + (at + 0.5 + sample.offset[:, :2]) * config.grid.cell_m
    np.testing.assert_allclose(place, sample.voxels.xyz[:, :2], atol=1e-4)
    assert (np.abs(sample.offset[:, :2]) <= 0.5 + 1e-3).all()


def test_a_cache_without_boxes_is_a_message(tiny_streets: Path, tmp_path: Path) -> None:
    bare = tmp_path / "streets" / "sequences" / "00"
    bare.mkdir(parents=True)
    for entry in (tiny_streets / "sequences" / "00").iterdir():
        if entry.name != "label_2":
            (bare / entry.name).symlink_to(entry)
    preprocess(open_dataset("semantickitti", tmp_path / "streets"), open_store(tmp_path / "cache"), PreprocessConfig())
    with pytest.raises(UserError, match="no sweep has boxes"):
        all_boxed(Cache(tmp_path / "cache"))


def test_points_in_a_box_are_those_of_a_slow_look() -> None:
    rng = np.random.default_rng(0)
    xyz = rng.uniform(-3, 3, (400, 3))
    inside = points_in_box(xyz, np.array([0.5, 0.2, 0.1]), np.array([4.0, 1.5, 1.0]), 0.7)
    for point, said in zip(xyz - [0.5, 0.2, 0.1], inside, strict=True):
        x = np.cos(0.7) * point[0] + np.sin(0.7) * point[1]
        y = np.cos(0.7) * point[1] - np.sin(0.7) * point[0]
        assert said == (abs(x) <= 2 and abs(y) <= 0.75 and abs(point[2]) <= 0.5)


def test_a_new_network_starts_from_the_boxes_in_use(boxed: Cache, config: DetectionConfig) -> None:
    boxes = boxed.boxes("00", 0)
    assert boxes is not None
    network = learner_of(boxed, [("00", 0)], config).new_network(ON_CPU)
    said = network.box.code.bias.detach().view(len(NAMES), CODE)[0, SIZE].exp()
    usual = np.exp(np.log(boxes.size[boxes.kind == "Car"]).mean(axis=0))
    np.testing.assert_allclose(said.numpy(), usual, rtol=1e-5)


def hill(x: np.ndarray) -> np.ndarray:
    return 0.1 * x - 1.7


def test_pasted_objects_stand_on_the_ground_and_nowhere_else(boxed: Cache, config: DetectionConfig) -> None:
    x, y = (a.ravel() for a in np.meshgrid(np.arange(0.0, 25.0, 0.5), np.arange(-40.0, 40.0, 0.5)))
    xyz = np.stack([x, y, hill(x)], axis=1).astype(np.float32)
    slope = Scene(xyz, np.zeros(len(xyz), np.float32), np.ones(len(xyz), np.bool_), no_boxes())
    bank = cut_objects([scene(boxed, config, "01", k) for k in range(3)], NAMES, PasteConfig())
    after = paste(slope, bank, NAMES, PasteConfig(fill_to=(30, 30, 30)), np.random.default_rng(0))
    assert len(after.boxes) > 3
    bottom = after.boxes.centre[:, 2] - after.boxes.size[:, 2] / 2
    near = after.boxes.centre[:, 0] < 24
    np.testing.assert_allclose(bottom[near], hill(after.boxes.centre[near, 0]), atol=0.06)
    assert (after.boxes.centre[:, 0] < 30).all()  # 5 m from the last ground
    assert not after.ground[len(xyz) :].any()
    for k in range(len(after.boxes)):
        assert len(inside_box(after, k)) >= PasteConfig().min_points
    unknown = replace(slope, ground=np.zeros(len(xyz), np.bool_))
    flat = paste(unknown, bank, NAMES, PasteConfig(fill_to=(30, 30, 30)), np.random.default_rng(0))
    heights = {float(o.box.centre[0, 2]) for of_class in bank for o in of_class}
    assert set(flat.boxes.centre[:, 2].tolist()) <= heights
    assert flat.boxes.centre[:, 0].max() > 30
