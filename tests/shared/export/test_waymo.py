"""Labels exported in Waymo's layout come back through the Waymo adapter, pixel by pixel."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.waymo import Waymo, WaymoOptions
from iscc_lidar.preprocess.run.join import join_labels
from iscc_lidar.preprocess.run.pipeline import preprocess
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.geometry import inverse, transform
from iscc_lidar.shared.cache.labels_only import LabelsOnly
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.export.target import ExportOptions, find_target
from iscc_lidar.shared.export.waymo import TARGET
from iscc_lidar.shared.export.write import export_cache
from iscc_lidar.shared.store.local import LocalStore

import waymo_writer as writer
from blobs import blobs
from caches import finished

NAME = "10_000_000"


class Blobs(Waymo):
    """Waymo's frames with their points moved to three blobs that stand still in the world, over flat ground."""

    def read(self, sequence: str, index: int) -> Sweep:
        sweep = super().read(sequence, index)
        world = blobs(len(sweep), index) + writer.CENTRE
        xyz = transform(inverse(sweep.world_SE3_sensor), world).astype(np.float32)
        return dataclasses.replace(sweep, xyz=xyz)


@pytest.fixture(scope="module")
def waymo_cache(tmp_path_factory: pytest.TempPathFactory, tiny_config: PreprocessConfig) -> tuple[Path, Path]:
    """A dataset of four frames and the cache of it. Read only."""
    folder = tmp_path_factory.mktemp("export")
    scene = writer.WaymoScene(contexts={"validation": (NAME,)}, frames=4, shapes=writer.SHAPES | {1: (16, 60)})
    writer.write_dataset(folder / "root", scene)
    dataset = Blobs(folder / "root", options=WaymoOptions(second_return=True))
    preprocess(dataset, LocalStore(folder / "cache"), tiny_config)
    return folder / "root", folder / "cache"


def test_exported_labels_come_back_through_the_adapter(waymo_cache: tuple[Path, Path], tmp_path: Path) -> None:
    root, path = waymo_cache
    cache = Cache(path)
    assert export_cache(cache, tmp_path / "out", TARGET, ExportOptions(root)) == 1
    shutil.copytree(root, tmp_path / "labelled")
    shutil.rmtree(tmp_path / "labelled/validation/lidar_segmentation")
    shutil.copytree(tmp_path / "out", tmp_path / "labelled", dirs_exist_ok=True)
    grouped = 0
    for index in range(4):
        back = Waymo(tmp_path / "labelled", options=WaymoOptions(second_return=True)).read(NAME, index)
        cached = cache.sweep(NAME, index)
        assert cached.pixel is not None
        np.testing.assert_array_equal(back.pixel, cached.pixel)
        np.testing.assert_array_equal(back.instance, np.where(cached.label >= 0, cached.label + 1, 0))
        assert back.semantic is not None
        assert not back.semantic.any()
        grouped += int((cached.label >= 0).sum())
    assert grouped > 500


def test_schema_and_rows_are_those_of_the_component_for_every_laser(
    waymo_cache: tuple[Path, Path], tmp_path: Path
) -> None:
    root, path = waymo_cache
    export_cache(Cache(path), tmp_path / "out", TARGET, ExportOptions(root))
    ours = pq.read_table(tmp_path / f"out/validation/lidar_segmentation/{NAME}.parquet")
    official = pq.read_table(root / f"validation/lidar_segmentation/{NAME}.parquet").drop_columns(["index"])
    assert ours.schema.remove_metadata() == official.schema.remove_metadata()
    assert ours["key.laser_name"].to_pylist() == [1, 2, 3, 4, 5] * 4
    for row in ours.to_pylist():
        height, width = (writer.SHAPES | {1: (16, 60)})[row["key.laser_name"]]
        for number in (1, 2):
            name = f"[LiDARSegmentationLabelComponent].range_image_return{number}"
            assert row[f"{name}.shape"] == [height, width, 2]
            assert len(row[f"{name}.values"]) == height * width * 2


def test_a_cache_without_pixels_and_a_foreign_data_set_are_named(
    waymo_cache: tuple[Path, Path], tiny_cache: Path, tmp_path: Path
) -> None:
    root, path = waymo_cache
    with pytest.raises(UserError, match=r"contains no pixels.*synthetic.*--to semantickitti"):
        export_cache(Cache(tiny_cache), tmp_path / "out", TARGET, ExportOptions(root))
    with pytest.raises(UserError, match=rf"contains no .*lidar/{NAME}\.parquet"):
        export_cache(Cache(path), tmp_path / "out", TARGET, ExportOptions(tmp_path))
    writer.write_dataset(tmp_path / "other", writer.WaymoScene(contexts={"validation": (NAME,)}, frames=4))
    with pytest.raises(UserError, match="laser 1: the range image is 7 x 36, too small"):
        export_cache(Cache(path), tmp_path / "out", TARGET, ExportOptions(tmp_path / "other"))
    assert not (tmp_path / "out").exists()


def test_the_command_needs_the_root(waymo_cache: tuple[Path, Path], tmp_path: Path) -> None:
    root, path = waymo_cache
    call = [sys.executable, "-m", "iscc_lidar.shared.cache_cli", "export", str(path), str(tmp_path), "--to", "waymo"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "--to waymo needs --root" in done.stderr
    done = subprocess.run([*call, "--root", str(root)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "waymo: 1 file below" in done.stdout


def test_labels_without_points_of_waymo_are_joined_to_the_byte(waymo_cache: tuple[Path, Path], tmp_path: Path) -> None:
    root, path = waymo_cache
    export_cache(Cache(path), tmp_path / "labels", find_target("labels-only"), ExportOptions())
    labels, joined = LabelsOnly(tmp_path / "labels"), tmp_path / "joined"
    with pytest.raises(UserError, match="with other options of waymo: second_return is True there, False here"):
        join_labels(labels, Blobs(root), LocalStore(joined))
    join_labels(labels, Blobs(root, options=WaymoOptions(second_return=True)), LocalStore(joined))
    assert finished(joined) == finished(path)
