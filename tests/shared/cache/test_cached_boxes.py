"""Boxes and cameras come out of a cache as they went in."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np

from iscc_lidar.data_schemas.boxes import Boxes, Camera
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import open_dataset
from iscc_lidar.preprocess.run.pipeline import preprocess
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.verify import verify_cache
from iscc_lidar.shared.store.open import open_store


def check(name: str, root: Path, cache: Path) -> int:
    dataset, found = open_dataset(name, root), Cache(cache)
    boxes = 0
    for sequence in found.sequence_names:
        for index in range(found.sequence(sequence).sweeps):
            sweep = dataset.read(sequence, index)
            for kind, there in ((Boxes, found.boxes(sequence, index)), (Camera, found.camera(sequence, index))):
                here = sweep.boxes if kind is Boxes else sweep.camera
                assert here is not None
                assert there is not None
                for field in dataclasses.fields(kind):
                    np.testing.assert_array_equal(getattr(there, field.name), getattr(here, field.name))
            boxes += len(sweep.boxes or ())
    return boxes


def test_of_synthetic_streets(tiny_streets: Path, tiny_cache: Path) -> None:
    assert check("synthetic", tiny_streets, tiny_cache) > 20


def test_of_real_frames_with_areas_of_the_image_alone(real_data: Path, tmp_path: Path) -> None:
    root = real_data / "kitti_detection"
    preprocess(open_dataset("kitti", root), open_store(tmp_path), PreprocessConfig())
    assert check("kitti", root, tmp_path) > 10
    assert verify_cache(tmp_path) == []
    cache = Cache(tmp_path)
    kinds = np.concatenate([boxes.kind for s in cache.sequence_names if (boxes := cache.boxes(s, 0)) is not None])
    assert "DontCare" in kinds


def test_without_boxes_there_are_none(own_streets: Path, tmp_path: Path) -> None:
    shutil.rmtree(own_streets / "sequences" / "00" / "label_2")
    config = PreprocessConfig()
    preprocess(open_dataset("semantickitti", own_streets), open_store(tmp_path / "cache"), config)
    assert Cache(tmp_path / "cache").boxes("00", 0) is None
    assert Cache(tmp_path / "cache").camera("00", 0) is None
