"""Predictions written in each dataset's layout come back through its adapter."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from iscc_lidar.data_schemas.manifest import Manifest
from iscc_lidar.preprocess.datasets.semantickitti import SemanticKitti
from iscc_lidar.preprocess.datasets.waymo import Waymo
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.own import own_folder
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import CachedSweep, Queries
from iscc_lidar.shared.layouts import nuscenes, semantickitti
from iscc_lidar.shared.layouts import waymo as waymo_layout
from iscc_lidar.shared.layouts.layout import open_predictions

import waymo_writer

CONTEXTS = ("10_000_000", "20_000_000")


def cache_of(dataset: str, class_names: tuple[str, ...], sweeps: tuple[CachedSweep, ...] = ()) -> Cache:
    """The part of a cache that a writer needs, without one on disk."""
    found = {(sweep.sequence, sweep.index): sweep for sweep in sweeps}
    stub = SimpleNamespace(
        path=Path("a/cache"),
        manifest=Manifest(dataset, "", class_names, (), (), {}),
        sweep=lambda sequence, index, without=(): found[sequence, index],
    )
    return cast(Cache, stub)


def sweep_of(sequence: str, index: int, name: str, points: int, pixel: NDArray[np.uint16] | None = None) -> CachedSweep:
    none: Any = np.zeros(0)
    zeros = np.zeros((points, 3), np.float32)
    return CachedSweep(
        sequence, index, name, zeros, none, none, None, np.eye(4), Queries(none, none, none, none), pixel
    )


def write_all(
    cache: Cache, out: Path, root: Path | None = None, sweeps: Sequence[tuple[CachedSweep, int]] = ()
) -> None:
    """Write class 0 for so many points of each sweep."""
    with open_predictions(cache, own_folder(out, "predictions"), cache.manifest.class_names, root) as write:
        for sweep, points in sweeps:
            write(sweep, np.zeros(points, np.uint8))


def test_semantickitti_labels_come_back_for_every_class(tmp_path: Path) -> None:
    names = semantickitti.LAYOUT.class_names
    predicted = np.random.default_rng(0).permutation(np.arange(60) % 20).astype(np.uint8)
    with open_predictions(cache_of("semantickitti", names), own_folder(tmp_path, "predictions"), names) as write:
        write(sweep_of("08", 3, "000007", 60), predicted)
    file = tmp_path / "sequences/08/predictions/000007.label"
    assert set(np.fromfile(file, "<u4").tolist()) == set(semantickitti.RAW_OF_CLASS)
    folder = tmp_path / "root/sequences/08"
    (folder / "velodyne").mkdir(parents=True)
    (folder / "labels").mkdir()
    np.ones((60, 4), "<f4").tofile(folder / "velodyne/000007.bin")
    shutil.copy(file, folder / "labels")
    (folder / "calib.txt").write_text("Tr: 1 0 0 0 0 1 0 0 0 0 1 0\n")
    (folder / "poses.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0\n" * 8)
    np.testing.assert_array_equal(SemanticKitti(tmp_path / "root").read("08", 0).semantic, predicted)


def test_semantickitti_raw_ids_are_the_official_inverse_map() -> None:
    """learning_map_inv of semantic-kitti.yaml: each class's raw id maps to the class."""
    raw = (0, 10, 11, 15, 18, 20, 30, 31, 32, 40, 44, 48, 49, 50, 51, 70, 71, 72, 80, 81)
    assert raw == semantickitti.RAW_OF_CLASS
    assert [semantickitti.CLASS_OF_RAW.get(r, 0) for r in raw] == list(range(20))


def test_every_sweep_of_a_real_cache_has_a_file_of_its_length(tiny_cache: Path, tmp_path: Path) -> None:
    cache = Cache(tiny_cache)
    with open_predictions(cache, own_folder(tmp_path, "predictions"), cache.manifest.class_names) as write:
        for entry in cache.manifest.sequences:
            for index in range(entry.sweeps):
                sweep = cache.sweep(entry.name, index)
                assert sweep.semantic is not None
                write(sweep, sweep.semantic)
    files = sorted(tmp_path.glob("sequences/*/predictions/*.label"))
    assert len(files) == 12
    first = cache.sweep("00", 0)
    back = [semantickitti.CLASS_OF_RAW.get(raw, 0) for raw in np.fromfile(files[0], "<u4").tolist()]
    np.testing.assert_array_equal(back, first.semantic)


def write_nuscenes(root: Path, version: str, scenes: dict[str, list[bool]]) -> None:
    """The tables that tokens are looked up in: scenes of sweeps, of each whether it is a key frame."""
    tables: dict[str, list[dict[str, Any]]] = {
        "sensor": [{"token": "L", "channel": "LIDAR_TOP"}, {"token": "C", "channel": "CAM_FRONT"}],
        "calibrated_sensor": [{"token": "l", "sensor_token": "L"}, {"token": "c", "sensor_token": "C"}],
        "scene": [{"token": name, "name": name} for name in scenes],
        "sample": [{"token": f"sample-{name}", "scene_token": name} for name in scenes],
        "sample_data": [
            {
                "token": f"{version}-{name}-{sensor}-{k}",
                "sample_token": f"sample-{name}",
                "calibrated_sensor_token": sensor,
                "timestamp": 1000 + k,
                "is_key_frame": key,
            }
            for name, keys in scenes.items()
            for k, key in enumerate(keys)
            for sensor in "lc"
        ],
    }
    (root / version).mkdir(parents=True)
    for name, rows in tables.items():
        (root / version / f"{name}.json").write_text(json.dumps(rows))


def test_nuscenes_files_are_named_by_the_token_and_lie_in_their_split(tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    write_nuscenes(root, "v1.0-trainval", {"scene-0001": [True, False], "scene-0003": [True], "scene-0061": [True]})
    write_nuscenes(root, "v1.0-mini", {"scene-0061": [True], "scene-0916": [True]})
    write_nuscenes(root, "v1.0-test", {"scene-0077": [True]})
    scenes = [("scene-0001", 2), ("scene-0003", 1), ("scene-0061", 1), ("scene-0916", 1), ("scene-0077", 1)]
    names = nuscenes.LAYOUT.class_names
    with open_predictions(cache_of("nuscenes", names), own_folder(out, "predictions"), names, root) as write:
        for scene, sweeps in scenes:
            for k in range(sweeps):
                write(sweep_of(scene, k, str(1000 + k), 4), np.array([3, 16, 0, 16]))
    assert sorted(str(file.relative_to(out)) for file in out.rglob("*.bin")) == [
        "lidarseg/mini_val/v1.0-mini-scene-0916-l-0_lidarseg.bin",
        "lidarseg/test/v1.0-test-scene-0077-l-0_lidarseg.bin",
        "lidarseg/train/v1.0-trainval-scene-0001-l-0_lidarseg.bin",
        "lidarseg/train/v1.0-trainval-scene-0061-l-0_lidarseg.bin",
        "lidarseg/val/v1.0-trainval-scene-0003-l-0_lidarseg.bin",
    ]
    for file in out.rglob("*.bin"):
        assert np.fromfile(file, np.uint8).tolist() == [3, 16, 16, 16]  # 0 is refused by the benchmark


@pytest.fixture(scope="module")
def waymo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[CachedSweep, ...]]:
    """A dataset of two contexts of two frames, and the sweeps of it as they would be cached."""
    root = tmp_path_factory.mktemp("waymo")
    waymo_writer.write_dataset(root, waymo_writer.WaymoScene(contexts={"validation": CONTEXTS}, frames=2))
    sweeps = []
    for context in CONTEXTS:
        for index in range(2):
            read = Waymo(root).read(context, index)
            sweeps.append(sweep_of(context, index, read.name, len(read), read.pixel))
    return root, tuple(sweeps)


def test_waymo_tables_come_back_through_the_adapter(
    waymo: tuple[Path, tuple[CachedSweep, ...]], tmp_path: Path
) -> None:
    root, sweeps = waymo
    predicted = [np.random.default_rng(k).integers(0, 23, len(s.xyz)).astype(np.uint8) for k, s in enumerate(sweeps)]
    names = waymo_layout.LAYOUT.class_names
    with open_predictions(
        cache_of("waymo", names, sweeps), own_folder(tmp_path / "out", "predictions"), names, root
    ) as write:
        for number, (sweep, classes) in enumerate(zip(sweeps, predicted, strict=True)):
            # As read by who needs no pixels, or by who does.
            write(dataclasses.replace(sweep, pixel=None) if number % 2 else sweep, classes)
            assert (tmp_path / f"out/validation/lidar_segmentation/{CONTEXTS[0]}.parquet").exists() == (number > 1)
    shutil.copytree(root, tmp_path / "root")
    shutil.rmtree(tmp_path / "root/validation/lidar_segmentation")
    shutil.copytree(tmp_path / "out", tmp_path / "root", dirs_exist_ok=True)
    for sweep, classes in zip(sweeps, predicted, strict=True):
        back = Waymo(tmp_path / "root").read(sweep.sequence, sweep.index)
        np.testing.assert_array_equal(back.semantic, classes)
        assert back.instance is not None
        assert not back.instance.any()


def test_an_interrupted_context_leaves_no_file(waymo: tuple[Path, tuple[CachedSweep, ...]], tmp_path: Path) -> None:
    root, sweeps = waymo
    cache = cache_of("waymo", waymo_layout.LAYOUT.class_names, sweeps)
    with pytest.raises(ValueError, match="has 2 points"):  # of the second sweep, behind a good one
        write_all(
            cache, tmp_path / "out", root, [(sweeps[0], len(sweeps[0].xyz)), (sweep_of(CONTEXTS[0], 1, "1", 2), 1)]
        )
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="10_000_000 comes back"):
        write_all(
            cache, tmp_path / "out", root, [(sweep, len(sweep.xyz)) for sweep in (sweeps[0], sweeps[2], sweeps[1])]
        )


def test_what_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a/cache: predictions of unlabelled, car do not fit semantickitti, whose"):
        write_all(cache_of("semantickitti", ("unlabelled", "car")), tmp_path)
    with pytest.raises(UserError, match="writing predictions for waymo needs --root: the folder of the dataset"):
        write_all(cache_of("waymo", waymo_layout.LAYOUT.class_names), tmp_path)
    write_nuscenes(tmp_path, "v1.0-mini", {"scene-0061": [True]})
    cache = cache_of("nuscenes", nuscenes.LAYOUT.class_names)
    with pytest.raises(UserError, match="1000 of scene-0103"):
        write_all(cache, tmp_path / "out", tmp_path, [(sweep_of("scene-0103", 0, "1000", 1), 1)])
