"""Labels: all of them are counted, fractions are of the labelled sweeps, and none of a class to learn is an error."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from iscc_lidar.shared.base.config import resolve
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.label_fractions import draw_fractions, labelled_names, read_list
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.shared.cache_cli import app as cache_app
from iscc_lidar.trainer.data.places import all_labelled, names_of, sweep_names
from iscc_lidar.trainer.finetune.detection.config import DetectionConfig
from iscc_lidar.trainer.finetune.detection.learner import DetectionLearner
from iscc_lidar.trainer.finetune.labels import LabelConfig, choose_labelled
from iscc_lidar.trainer.finetune.semseg.config import SemsegConfig
from iscc_lidar.trainer.finetune.semseg.learner import SemsegLearner
from iscc_lidar.trainer.finetune.semseg.samples import LabelledDataset
from iscc_lidar.trainer.run.loop import train


class FewClasses(Cache):
    """A cache whose sweeps with these numbers alone have class 1."""

    only: frozenset[int] = frozenset()

    def classes(self, sequence: str, index: int) -> Any:
        found = super().classes(sequence, index)
        return found if index in self.only else np.where(found == 1, 2, found).astype(np.uint8)


def test_a_rare_class_is_counted_wherever_it_is(cache_path: Path, tuning: SemsegConfig):
    """Of 320 sweeps in use 50 have the class, none of them among 200 evenly spaced ones."""
    cache = FewClasses(cache_path)
    evenly = set(np.unique(np.linspace(0, 319, 200).round().astype(int)).tolist())
    rare = [place for place in range(320) if place not in evenly][:50]
    cache.only = frozenset([0])
    places = [("00", 0 if place in rare else 1) for place in range(320)]
    counts = LabelledDataset(cache, places, tuning).count_classes()
    one = np.bincount(Cache(cache_path).classes("00", 0), minlength=5)
    assert counts[0] == 50 * one[1] > 0


def test_all_sweeps_are_counted_as_they_are_read(cache: Cache, tuning: SemsegConfig):
    places = all_labelled(cache)
    expected = sum(np.bincount(cache.sweep(*place).semantic, minlength=5) for place in places)  # type: ignore[arg-type]
    np.testing.assert_array_equal(LabelledDataset(cache, places, tuning).count_classes(), expected[1:])  # type: ignore[index]


def test_fractions_are_those_that_training_draws(sparse_path: Path, tmp_path: Path):
    """Two of twelve sweeps have no point, and so no label."""
    cache = Cache(sparse_path)
    done = CliRunner().invoke(cache_app, ["fractions", str(sparse_path), str(tmp_path), "--percent", "20,50,100"])
    assert done.exit_code == 0, done.output
    for percent in (20, 50, 100):
        listed = read_list(tmp_path / f"labels_{percent}.txt", sweep_names(cache))
        places, available = choose_labelled(cache, LabelConfig(percent=float(percent)), all_labelled)
        assert listed == names_of(cache, places)
        assert available == 10
        assert ("00", "000001") not in listed


def test_fractions_of_sweeps_with_boxes(boxed: Cache, cache_path: Path, tmp_path: Path):
    done = CliRunner().invoke(
        cache_app, ["fractions", boxed.path, str(tmp_path), "--percent", "50", "--labels", "boxes"]
    )
    assert done.exit_code == 0, done.output
    drawn = draw_fractions(labelled_names(boxed, boxes=True), [50.0], 0)[50.0]
    assert read_list(tmp_path / "labels_50.txt", sweep_names(boxed)) == drawn
    with pytest.raises(UserError, match="no sweep has boxes; draw among those with others by --labels classes"):
        labelled_names(Cache(cache_path), boxes=True)


def test_no_box_of_the_classes_is_an_error_before_anything_is_written(
    boxed: Cache, detecting: DetectionConfig, tmp_path: Path
):
    config = replace(
        detecting,
        classes=replace(detecting.classes, names=("Tram", "Bus")),
        paste=replace(detecting.paste, fill_to=(1, 1)),
    )
    with pytest.raises(UserError, match=r"have no box of the classes Tram, Bus .*their boxes are of: .*Car"):
        train(DetectionLearner.of(boxed.path, config), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_no_point_with_a_class_is_an_error_before_anything_is_written(
    sparse_path: Path, tuning: SemsegConfig, tmp_path: Path
):
    (tmp_path / "list.txt").write_text("00/000001\n01/000001\n")
    with pytest.raises(UserError, match="none of the 2 sweeps in use has a point with a class"):
        train(SemsegLearner.of(sparse_path, tuning, listed=tmp_path / "list.txt"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_class_alone_is_detected(boxed: Cache, detecting: DetectionConfig, tmp_path: Path):
    config = replace(
        detecting, classes=replace(detecting.classes, names=("Car",)), paste=replace(detecting.paste, fill_to=(4,))
    )
    assert train(DetectionLearner.of(boxed.path, config), tmp_path / "run")


class OneClass(Cache):
    """A cache that knows cars alone."""

    def __init__(self, where: Path) -> None:
        super().__init__(where)
        self.manifest = dataclasses.replace(self.manifest, class_names=("unlabelled", "car"))

    def sweep(self, sequence: str, index: int, without: Any = ()) -> CachedSweep:
        found = super().sweep(sequence, index, without)
        return replace(found, semantic=None if found.semantic is None else (found.semantic == 1).astype(np.uint8))

    def classes(self, sequence: str, index: int) -> Any:
        return (super().classes(sequence, index) == 1).astype(np.uint8)


@pytest.mark.parametrize("lovasz_weight", [0.0, 1.0])
def test_one_class_alone_is_segmented(cache_path: Path, tuning: SemsegConfig, tmp_path: Path, lovasz_weight: float):
    cache = OneClass(cache_path)
    config = replace(tuning, loss=replace(tuning.loss, lovasz_weight=lovasz_weight))
    assert train(SemsegLearner(cache, all_labelled(cache), config), tmp_path / "run")


def test_a_class_without_a_name_is_an_error(cache_path: Path, tuning: SemsegConfig):
    cache = Cache(cache_path)
    cache.manifest = dataclasses.replace(cache.manifest, class_names=("unlabelled", "car"))
    with pytest.raises(UserError, match="a class without a name"):
        LabelledDataset(cache, all_labelled(cache), tuning).count_classes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["classes.names=[Car]"],
            r"paste.fill_to has 3 values for the 1 classes .*as in paste.fill_to=\[10\]",
        ),
        (["classes.names=[Car,Car,Van]"], "none may be twice"),
        (["classes.names=[]", "paste.fill_to=[]"], "classes.names must have a class"),
        (["model.in_channels=3"], "model.in_channels must be 4"),
        (["grid.cell_m=0.01"], "cells, 16777216 at most"),
        (["augment.scale=nan"], "augment.scale must be at least 0 and at most 0.99, not nan"),
        (["train.head_learning_rate=-1"], "train.head_learning_rate must be at least 0, not -1"),
        (["train.loader_workers=-1"], "train.loader_workers must be at least 0 and at most 1024"),
        (["model.voxel_size=inf"], "model.voxel_size must be at least 0.001 and at most 100"),
    ],
)
def test_options_that_must_fit_are_checked(options: list[str], message: str):
    with pytest.raises(UserError, match=message):
        resolve(DetectionConfig, None, options)
