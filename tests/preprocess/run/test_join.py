"""Labels without points and the raw files that they are of make the cache again, to the byte; other files do not."""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clusters import Cluster
from typer.testing import CliRunner

from iscc_lidar.api.cache_cli import app
from iscc_lidar.data_schemas import labels_only as schema
from iscc_lidar.data_schemas.manifest import Window
from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import open_dataset
from iscc_lidar.preprocess.datasets.semantickitti import SemanticKitti
from iscc_lidar.preprocess.run.join import join_labels
from iscc_lidar.preprocess.run.pipeline import preprocess
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.labels_only import LabelsOnly
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.verify import verify_cache
from iscc_lidar.shared.export.target import ExportOptions, find_target
from iscc_lidar.shared.export.write import export_cache
from iscc_lidar.shared.store.local import LocalStore

from caches import finished
from folder_writer import write_folder
from readers import READERS, WINDOWS, cache_cli, preprocess_cli


def exported(cache: Path, out: Path) -> Path:
    export_cache(Cache(cache), out, find_target("labels-only"), ExportOptions())
    return out


@pytest.fixture(scope="module")
def labels(tiny_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tiny_cache, tmp_path_factory.mktemp("labels") / "out")


@pytest.fixture
def streets(tiny_streets: Path, tmp_path: Path) -> Path:
    """A copy of the raw files that a test may damage."""
    shutil.copytree(tiny_streets, tmp_path / "streets")
    return tmp_path / "streets"


def join(labels: Path, root: Path, out: Path, *options: str, workers: int = 0) -> str:
    done = CliRunner().invoke(app, ["join", str(labels), str(root), str(out), "--workers", str(workers), *options])
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    assert (done.exit_code == 0) == ("error" not in done.output), done.output
    return done.output


def test_the_cache_comes_back_to_the_byte(labels: Path, tiny_streets: Path, tiny_cache: Path, tmp_path: Path) -> None:
    assert "cache: " in join(labels, tiny_streets, tmp_path / "joined")
    assert finished(tmp_path / "joined") == finished(tiny_cache)
    assert verify_cache(tmp_path / "joined") == []
    assert "is a finished cache; choose an empty or new folder" in join(labels, tiny_streets, tmp_path / "joined")


def test_what_is_finished_is_kept_after_an_interruption(
    labels: Path, tiny_streets: Path, tiny_cache: Path, tmp_path: Path
) -> None:
    join(labels, tiny_streets, tmp_path / "joined")
    (tmp_path / "joined/manifest.json").unlink()
    first, second = (tmp_path / "joined" / block.path for block in Cache(tiny_cache).sequence("00").blocks[:2])
    (first / "block.json").unlink()
    before = (second / "block.json").stat().st_mtime_ns
    join(labels, tiny_streets, tmp_path / "joined")
    assert finished(tmp_path / "joined") == finished(tiny_cache)
    assert (second / "block.json").stat().st_mtime_ns == before


def write_drive(root: Path) -> None:
    write_folder(root / "drive", sweeps=3)


ADAPTERS = {
    "argoverse2": ("argoverse2", READERS["argoverse2"].write, ()),
    "folder": ("folder", write_drive, ("--data", "rate_hz=20")),
    "kitti object": ("kitti", READERS["kitti-object"].write, ()),
    "kitti raw": ("kitti", READERS["kitti-raw"].write, ()),
    "nuscenes": ("nuscenes", READERS["nuscenes"].write, ()),
    "semantickitti": ("semantickitti", READERS["semantickitti"].write, ()),
    "waymo": ("waymo", READERS["waymo"].write, ("--data", "second_return=true")),
}
"""Adapter, what writes raw files for it, and options."""


@pytest.mark.parametrize("what", ADAPTERS)
def test_a_cache_of_every_adapter_comes_back_to_the_byte(what: str, tmp_path: Path) -> None:
    (name, write, data), root = ADAPTERS[what], tmp_path / "raw"
    cache, out = str(tmp_path / "cache"), str(tmp_path / "labels")
    write(root)
    options = (*data, "--accept-content", "--workers", "0", *WINDOWS)
    assert preprocess_cli("run", name, "--root", str(root), "--cache", cache, *options) == 0
    assert cache_cli("export", cache, out, "--to", "labels-only") == 0
    assert "cache: " in join(Path(out), root, tmp_path / "joined", *data)
    assert finished(tmp_path / "joined") == finished(cache)


def test_worker_processes_make_the_same_bytes(
    labels: Path, tiny_streets: Path, tiny_cache: Path, tmp_path: Path
) -> None:
    join(labels, tiny_streets, tmp_path / "joined", workers=1)
    assert finished(tmp_path / "joined") == finished(tiny_cache)


def test_on_a_cluster_relative_paths_are_the_clients(
    labels: Path, tiny_streets: Path, tiny_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").symlink_to(tiny_streets)
    (tmp_path / "labels").symlink_to(labels)
    with ExitStack() as stack:
        address = Cluster(tmp_path, stack).address
        join(Path("labels"), Path("raw"), Path("joined"), "--scheduler", address)
    assert finished(tmp_path / "joined") == finished(tiny_cache)


def test_poses_are_those_that_were_exported(labels: Path, streets: Path, tiny_cache: Path, tmp_path: Path) -> None:
    for sequence in ("00", "01"):
        file = streets / "sequences" / sequence / "poses.txt"
        file.write_text(file.read_text().replace("0", "1"))
    join(labels, streets, tmp_path / "joined")
    assert finished(tmp_path / "joined") == finished(tiny_cache)


def test_only_some_sequences(labels: Path, streets: Path, tiny_cache: Path, tmp_path: Path) -> None:
    shutil.rmtree(streets / "sequences/01")
    assert "--sequences: synthetic has no sequence '01' here" in join(labels, streets, tmp_path / "joined")
    join(labels, streets, tmp_path / "joined", "--sequences", "00")
    joined = Cache(tmp_path / "joined")
    assert joined.sequence_names == ("00",)
    assert joined.sequence("00") == Cache(tiny_cache).sequence("00")
    assert "has no sequence '07' here" in join(labels, streets, tmp_path / "other", "--sequences", "07")


def change(file: Path, column: int, by: float) -> None:
    points = np.fromfile(file, "<f4").reshape(-1, 4)
    points[100, column] += by
    points.tofile(file)


def shorten(file: Path) -> None:
    """Drop the last point, and its label."""
    np.fromfile(file, "<f4")[:-4].tofile(file)
    label = file.parents[1] / "labels" / f"{file.stem}.label"
    np.fromfile(label, "<u4")[:-1].tofile(label)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda file: change(file, 0, 0.1), "has other positions here than the points that were labelled"),
        (lambda file: change(file, 3, -0.1), "has other intensities here than the points that were labelled"),
        (shorten, "points here, .* were labelled"),
        (
            lambda file: np.fromfile(file, "<f4").reshape(-1, 4)[::-1].tofile(file),
            "has other positions here than the points that were labelled",
        ),
        (lambda file: file.rename(file.with_name("000009.bin")), "the first other one is 000003 here, 000002 there"),
        (lambda file: file.unlink(), "sequence 01 has 5 sweeps here, 6 were labelled"),
    ],
)
def test_raw_files_that_differ_are_named(labels: Path, streets: Path, tmp_path: Path, damage: Any, says: str) -> None:
    raw = streets / "sequences/01/velodyne/000002.bin"
    raw.with_name("000003.bin").touch()
    damage(raw)
    with pytest.raises(UserError, match=says) as error:
        join_labels(LabelsOnly(labels), open_dataset("synthetic", streets), LocalStore(tmp_path / "joined"))
    assert "01" in str(error.value)
    assert not (tmp_path / "joined/manifest.json").exists()


def test_what_a_cache_does_not_store_of_points_does_not_matter(labels: Path, streets: Path, tmp_path: Path) -> None:
    for file in (streets / "sequences/00/velodyne").iterdir():
        points = np.fromfile(file, "<f4").reshape(-1, 4)
        points[:, :3] = np.rint(points[:, :3] / np.float32(0.004)) * np.float32(0.004)
        points.tofile(file)
    dataset = open_dataset("synthetic", streets)
    join_labels(LabelsOnly(labels), dataset, LocalStore(tmp_path / "joined"), None, ["00"])
    joined = Cache(tmp_path / "joined")
    for index in range(6):
        np.testing.assert_array_equal(joined.label("00", index), LabelsOnly(labels).sweep("00", index).label)


@dataclass(frozen=True)
class Broken(SemanticKitti):
    """Streets with a sweep that cannot be read."""

    def read(self, sequence: str, index: int) -> Sweep:
        sweep = super().read(sequence, index)
        return replace(sweep, intensity=sweep.intensity + 2) if (sequence, index) == ("00", 3) else sweep


def test_a_sweep_that_was_left_out_is_left_out_again(
    tiny_streets: Path, tiny_config: PreprocessConfig, tmp_path: Path
) -> None:
    broken = Broken(**vars(open_dataset("synthetic", tiny_streets)))
    preprocess(broken, LocalStore(tmp_path / "cache"), tiny_config, sequences=["00"], on_error="skip")
    assert "sweep 000003" in Cache(tmp_path / "cache").manifest.skipped[0].reason
    labels = LabelsOnly(exported(tmp_path / "cache", tmp_path / "labels"))
    join_labels(labels, broken, LocalStore(tmp_path / "joined"))
    assert finished(tmp_path / "joined") == finished(tmp_path / "cache")


def test_another_dataset_or_other_options_of_it_are_named(labels: Path, tiny_streets: Path, tmp_path: Path) -> None:
    opened, store = LabelsOnly(labels), LocalStore(tmp_path / "joined")
    with pytest.raises(UserError, match="are of the dataset synthetic with 20 classes, not of semantickitti"):
        join_labels(opened, open_dataset("semantickitti", tiny_streets), store)
    for key, value, says in (
        ("data", {"rate": 7}, "the sweeps were read with other options of synthetic: rate is 7 there, None here"),
        ("config", None, "does not say with which options the cache was made"),
        ("config", {"seed": 0}, "labels.json: window is missing"),
        ("config", {**dict(opened.manifest.cache.made_by["config"]), "motion": {"min_shift_m": "x"}}, "min_shift_m"),
    ):
        made_by = {**opened.manifest.cache.made_by, key: value}
        forged = replace(opened.manifest, cache=replace(opened.manifest.cache, made_by=made_by))
        shutil.copytree(labels, tmp_path / "forged", dirs_exist_ok=True)
        (tmp_path / "forged/labels.json").write_text(schema.to_json(forged))
        with pytest.raises(UserError, match=says):
            join_labels(LabelsOnly(tmp_path / "forged"), open_dataset("synthetic", tiny_streets), store)
    assert not (tmp_path / "joined").exists()


def test_windows_that_are_not_those_of_blocks_are_named(labels: Path, tiny_streets: Path, tmp_path: Path) -> None:
    opened = LabelsOnly(labels)
    cache, entry = opened.manifest.cache, opened.manifest.cache.sequences[0]
    config = {**dict(cache.made_by["config"]), "window": {"sweeps": 6, "stride": 1, "block_sweeps": 2}}
    one = replace(entry, windows=(Window(0, 6, 0, 6),))
    forged = replace(cache, sequences=(one, *cache.sequences[1:]), made_by={**cache.made_by, "config": config})
    shutil.copytree(labels, tmp_path / "forged")
    (tmp_path / "forged/labels.json").write_text(schema.to_json(replace(opened.manifest, cache=forged)))
    with pytest.raises(UserError, match="the windows of sequence 00 are not those of its blocks"):
        join_labels(
            LabelsOnly(tmp_path / "forged"), open_dataset("synthetic", tiny_streets), LocalStore(tmp_path / "j")
        )


def test_a_folder_of_others_is_refused(labels: Path, tiny_streets: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    assert "is not a cache, it contains notes.txt" in join(labels, tiny_streets, tmp_path / "mine")
    assert "is not a cache, it contains" in join(labels, tiny_streets, labels)
    assert json.loads((labels / "labels.json").read_text())["format"] == "iscc-lidar-labels"
    assert "no labels without points here" in join(tiny_streets, tiny_streets, tmp_path / "joined")
