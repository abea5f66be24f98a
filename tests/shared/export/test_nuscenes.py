"""Panoptic labels exported for the nuScenes development kit, read back as it does: table, file, class and instance."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.nuscenes import NuScenes
from iscc_lidar.preprocess.run.join import join_labels
from iscc_lidar.preprocess.run.pipeline import preprocess
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.geometry import inverse, transform
from iscc_lidar.shared.cache.instances import sequence_groups
from iscc_lidar.shared.cache.labels_only import LabelsOnly
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.export import nuscenes
from iscc_lidar.shared.export.nuscenes import TARGET
from iscc_lidar.shared.export.target import ExportOptions, find_target
from iscc_lidar.shared.export.write import export_cache
from iscc_lidar.shared.store.local import LocalStore

import nuscenes_writer as writer
from blobs import blobs
from caches import files_below, finished, with_manifest

RUSSIAN = "улица 1"


def table(out: Path, version: str, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((out / version / f"{name}.json").read_text())
    return found


def panoptic(out: Path, version: str, token: str) -> NDArray[np.uint16]:
    """Read labels by token as the development kit does: the table's file, its array ``data``."""
    (row,) = (row for row in table(out, version, "panoptic") if row["sample_data_token"] == token)
    with np.load(out / row["filename"], allow_pickle=False) as file:
        labels: NDArray[np.uint16] = file["data"]
    assert labels.dtype == np.uint16
    return labels


def check(labels: NDArray[np.uint16], groups: Path, label: NDArray[np.int32]) -> None:
    """Compare the labels of a sweep with those of the cache, by the table of the sequence's groups."""
    with groups.open() as file:
        group_of = {int(row["instance"]): int(row["group"]) for row in csv.DictReader(file) if row["instance"] != "0"}
    left_out = (label >= 0) & ~np.isin(label, list(group_of.values()))
    assert set((labels // 1000).tolist()) <= {0, 1}
    np.testing.assert_array_equal(labels == 0, (label < 0) | left_out)
    kept = labels > 0
    assert [group_of[instance] for instance in (labels[kept] % 1000).tolist()] == label[kept].tolist()


def test_labels_of_other_datasets_come_back_by_hashed_tokens(tiny_cache: Path, tmp_path: Path) -> None:
    def rename(manifest: Any) -> None:
        manifest["sequences"][1] |= {"name": RUSSIAN, "tracks": []}  # without boxes, as before 2.1

    cache, out = Cache(with_manifest(tiny_cache, tmp_path / "cache", rename)), tmp_path / "out"
    assert export_cache(cache, out, TARGET, ExportOptions()) == 12 + 2 + 3
    assert [(row["index"], row["name"]) for row in table(out, "v1.0-groups", "category")] == [
        (0, "noise"),
        (1, "group"),
    ]
    tokens = table(out, "v1.0-groups", "tokens")
    assert [row["token"] for row in tokens] == [row["token"] for row in table(out, "v1.0-groups", "panoptic")]
    assert len(tokens) == len(list((out / "panoptic/v1.0-groups").iterdir())) == 12
    for row in tokens:
        sequence, sweep = row["sequence"], row["sweep"]
        assert row["token"] == hashlib.sha256(f"{sequence}/{sweep}".encode()).hexdigest()[:32]
        label = cache.label(sequence, cache.sweep_names(sequence).index(sweep))
        check(panoptic(out, "v1.0-groups", row["token"]), out / f"groups/{sequence}.csv", label)
    export_cache(cache, tmp_path / "again", TARGET, ExportOptions())
    assert files_below(tmp_path / "again") == files_below(out)


def test_of_too_many_groups_some_are_left_out_and_listed(
    tiny_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nuscenes, "_MAX_INSTANCE", 9)
    cache, out = Cache(tiny_cache), tmp_path / "out"
    export_cache(cache, out, TARGET, ExportOptions())
    for row in table(out, "v1.0-groups", "tokens"):
        label = cache.label(row["sequence"], int(row["sweep"]))
        check(panoptic(out, "v1.0-groups", row["token"]), out / f"groups/{row['sequence']}.csv", label)
    with (out / "groups/00.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sorted(int(row["instance"]) for row in rows if row["instance"] != "0") == list(range(1, 10))
    found = sequence_groups(cache, "00")
    assert [int(row["points"]) for row in rows] == found.points.tolist()
    assert [row["moving"] == "1" for row in rows] == found.moving.tolist()


class Blobs(NuScenes):
    """nuScenes' sweeps with their points moved to three blobs that stand still in the world, over flat ground."""

    def read(self, sequence: str, index: int) -> Sweep:
        sweep = super().read(sequence, index)
        world = blobs(len(sweep), index) + writer.global_position(0)
        upright = np.eye(4)
        upright[:3, 3] = sweep.world_SE3_sensor[:3, 3]
        xyz = transform(inverse(upright), world).astype(np.float32)
        return dataclasses.replace(sweep, xyz=xyz, world_SE3_sensor=upright)


@pytest.fixture(scope="module")
def nuscenes_cache(tmp_path_factory: pytest.TempPathFactory, tiny_config: PreprocessConfig) -> tuple[Path, Path]:
    """Scenes in the tables of two versions, and the cache of them. Read only."""
    folder = tmp_path_factory.mktemp("nuscenes")
    writer.write(folder / "root", ("scene-0001", "scene-0061"), points=2000, lidarseg=False)
    writer.write(folder / "root", ("scene-0061", "scene-0103"), "v1.0-mini", points=2000, lidarseg=False)
    preprocess(Blobs(folder / "root"), LocalStore(folder / "cache"), tiny_config)
    return folder / "root", folder / "cache"


def test_key_frames_of_nuscenes_have_the_tokens_of_its_tables(
    nuscenes_cache: tuple[Path, Path], tmp_path: Path
) -> None:
    root, path = nuscenes_cache
    cache, out = Cache(path), tmp_path / "out"
    assert export_cache(cache, out, TARGET, ExportOptions(root)) == 6 + 3 + 2
    versions = {"scene-0001": "v1.0-trainval", "scene-0061": "v1.0-trainval", "scene-0103": "v1.0-mini"}
    for scene, version in versions.items():
        for index in (0, 2):
            label = cache.label(scene, index)
            assert (label >= 0).any()
            check(panoptic(out, version, f"{version}-{scene}-LIDAR_TOP-{index}"), out / f"groups/{scene}.csv", label)
    assert not list(out.rglob("category.json")), "the dataset has its own"
    for version, files in (("v1.0-trainval", 4), ("v1.0-mini", 2)):
        assert len(table(out, version, "panoptic")) == len(list((out / "panoptic" / version).iterdir())) == files


def test_what_no_reader_expects_is_removed(nuscenes_cache: tuple[Path, Path], tmp_path: Path) -> None:
    root, path = nuscenes_cache
    folder = tmp_path / "out/panoptic/v1.0-mini"
    export_cache(Cache(path), tmp_path / "out", TARGET, ExportOptions(root))
    before = files_below(tmp_path / "out")
    for name in ("other_panoptic.npz", ".a_panoptic.npz.99.tmp"):
        (folder / name).touch()
    (folder / "notes.txt").touch()
    export_cache(Cache(path), tmp_path / "out", TARGET, ExportOptions(root))
    (folder / "notes.txt").unlink()
    assert files_below(tmp_path / "out") == before


def test_a_cache_of_nuscenes_needs_its_tables(nuscenes_cache: tuple[Path, Path], tmp_path: Path) -> None:
    root, path = nuscenes_cache
    with pytest.raises(
        UserError, match="--to nuscenes for a cache of nuScenes needs --root: the folder of the dataset"
    ):
        export_cache(Cache(path), tmp_path / "out", TARGET, ExportOptions())
    other = tmp_path / "other"
    shutil.copytree(root / "v1.0-mini", other / "v1.0-mini")
    with pytest.raises(UserError, match=f"no table lists LIDAR_TOP's sweep {writer.START_US} of scene-0001; pass the"):
        export_cache(Cache(path), tmp_path / "out", TARGET, ExportOptions(other))
    led = tmp_path / "led"
    for version in ("v1.0-mini", "v1.0-trainval"):
        shutil.copytree(root / version, led / version)

    def lead_out(rows: writer.Table) -> None:
        for row in rows:
            row["token"] = f"../../{row['token']}"

    writer.change("sample_data", lead_out)(led)
    with pytest.raises(UserError, match=r"'\.\.' is not a name"):
        export_cache(Cache(path), tmp_path / "out", TARGET, ExportOptions(led))
    assert not list(tmp_path.rglob("*.npz"))


def test_labels_without_points_of_nuscenes_are_joined_to_the_byte(
    nuscenes_cache: tuple[Path, Path], tmp_path: Path
) -> None:
    root, path = nuscenes_cache
    export_cache(Cache(path), tmp_path / "labels", find_target("labels-only"), ExportOptions())
    join_labels(LabelsOnly(tmp_path / "labels"), Blobs(root), LocalStore(tmp_path / "joined"))
    assert finished(tmp_path / "joined") == finished(path)
