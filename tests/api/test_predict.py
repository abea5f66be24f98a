"""``iscc-train predict``: the same files from a cache and from the data it was made of, nothing where others wrote."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import save_file
from typer.testing import CliRunner

import iscc_lidar
from iscc_lidar.api.train_cli import app
from iscc_lidar.shared.base.own import MARK_FILE
from iscc_lidar.shared.layouts.semantickitti import CLASS_OF_RAW

import waymo_writer


def predict(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["predict", *map(str, words)])
    return done.exit_code, done.output


def written(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


@pytest.fixture(scope="module")
def segmented(user_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("predicted") / "classes"
    status, output = predict(user_folder / "runs/tuned", user_folder / "cache/kitti", out)
    assert status == 0, output
    assert f"predictions: {out} (12 sweeps, " in output
    assert "sweeps/s)" in output
    return out


def test_every_sweep_of_a_cache_gets_the_classes_that_the_model_finds(user_folder: Path, segmented: Path) -> None:
    files = written(segmented)
    names = [f"sequences/{s}/predictions/{k:06d}.label" for s in ("00", "01") for k in range(6)]
    assert sorted(files) == sorted([MARK_FILE, *names])
    model = iscc_lidar.load_model(user_folder / "runs/tuned")
    classes = model(iscc_lidar.open_cache(user_folder / "cache/kitti")["01"][3].points)
    raw = np.frombuffer(files["sequences/01/predictions/000003.label"], "<u4")
    assert [CLASS_OF_RAW.get(label, 0) for label in raw.tolist()] == classes.tolist()


def test_a_folder_of_sweeps_gives_the_same_files_without_labels(
    user_folder: Path, segmented: Path, tmp_path: Path
) -> None:
    streets = tmp_path / "streets"
    for part in ("velodyne", "poses.txt", "calib.txt", "times.txt"):
        for sequence in ("00", "01"):
            source = user_folder / "data/streets/sequences" / sequence / part
            if source.exists():
                (streets / "sequences" / sequence).mkdir(parents=True, exist_ok=True)
                (streets / "sequences" / sequence / part).symlink_to(source)
    status, output = predict(user_folder / "runs/tuned", streets, tmp_path / "out", "--dataset", "synthetic")
    assert status == 0, output
    assert written(tmp_path / "out") == written(segmented)
    words = ("--dataset", "synthetic", "--sequences", "01", "--device", "cpu")
    assert predict(user_folder / "runs/tuned", streets, tmp_path / "one", *words)[0] == 0
    assert len(written(tmp_path / "one")) == 7
    assert predict(user_folder / "runs/tuned", streets, tmp_path / "one", *words)[0] == 0  # it is ours


def test_predictions_of_two_networks_never_mix(user_folder: Path, segmented: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(user_folder / "runs/tuned", other)
    with safe_open(other / "segmentation.safetensors", "pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dictionary
        next(tensor for tensor in weights.values() if tensor.is_floating_point()).mul_(1.5)
        save_file(weights, other / "segmentation.safetensors", file.metadata())
    before = written(segmented)
    status, output = predict(other, user_folder / "cache/kitti", segmented)
    assert status == 1
    assert f"{segmented}: contains predictions of a network with SHA-256 " in output
    assert written(segmented) == before
    words = ("--train-cache", user_folder / "cache/kitti", "--out", tmp_path / "new", "--predictions", segmented)
    done = CliRunner().invoke(app, ["finetune", "semseg", *map(str, words)])
    assert done.exit_code == 1
    assert "not of a network that is still to be trained" in done.output
    assert not (tmp_path / "new").exists()


def test_boxes_are_written_as_kitti_does(user_folder: Path, tmp_path: Path) -> None:
    for source, out, words in (
        ("cache/kitti", "from_cache", ()),
        ("data/streets", "from_folder", ("--dataset", "synthetic")),
    ):
        status, output = predict(user_folder / "runs/boxes", user_folder / source, tmp_path / out, *words)
        assert status == 0, output
    files = written(tmp_path / "from_cache")
    assert len(files) == 13
    assert any(files.values())
    assert files == written(tmp_path / "from_folder")


def test_what_cannot_be_predicted_is_one_line_and_writes_nothing(user_folder: Path, tmp_path: Path) -> None:
    tuned, cache, out = user_folder / "runs/tuned", user_folder / "cache/kitti", tmp_path / "out"
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/thesis.txt").write_text("mine")
    waymo_writer.write_dataset(tmp_path / "waymo", waymo_writer.WaymoScene(frames=1))
    for words, arguments in (
        ("contains thesis.txt, which this program did not write", (tuned, cache, tmp_path / "foreign")),
        ("a run of pretrain, which predicts nothing", (user_folder / "runs/iscc", cache, out)),
        ("no run here", (tmp_path, cache, out)),
        ("no finished cache here", (tuned, tmp_path, out)),
        ("no sequence '99'", (tuned, cache, out, "--sequences", "99")),
        ("--split: is for a dataset's own files; add --dataset NAME", (tuned, cache, out, "--split", "val")),
        ("--accept-content: is for a dataset's own files", (tuned, cache, out, "--accept-content")),
        ("unknown dataset 'kity'; did you mean kitti?", (tuned, tmp_path, out, "--dataset", "kity")),
        ("was trained for the classes unlabelled, car", (tuned, tmp_path / "waymo", out, "--dataset", "waymo")),
    ):
        status, output = predict(*arguments)
        assert status == 1, words
        assert words in output
    assert not out.exists()
    assert written(tmp_path / "foreign") == {"thesis.txt": b"mine"}
