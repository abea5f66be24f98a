"""``iscc-train predict`` of every adapter, from its files and from a cache of them, read back where it can be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from typer.testing import CliRunner

from iscc_lidar.api.train_cli import app
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import open_dataset
from iscc_lidar.preprocess.run.pipeline import preprocess
from iscc_lidar.shared.layouts.layout import find_layout
from iscc_lidar.shared.store.local import LocalStore
from iscc_lidar.trainer.finetune.semseg.config import SemsegConfig
from iscc_lidar.trainer.finetune.semseg.learner import SegmentationNetwork, SemsegLearner
from iscc_lidar.trainer.hardware.device import ON_CPU
from iscc_lidar.trainer.run.run import open_run
from iscc_lidar.trainer.run.weights import read_header, write_weights

import argoverse2_writer
import folder_writer
import kitti_writer
import nuscenes_writer
import waymo_writer

OWN = ("unlabelled", "ground", "other")


def run_of(tuned: Path, out: Path, names: tuple[str, ...]) -> Path:
    """A copy of a fine-tuned run, of these classes, with a network that is as it begins."""
    shutil.copytree(tuned, out)
    config = open_run(out).config(SemsegConfig)
    content = json.loads((out / "config.json").read_text())
    content["provenance"]["class_names"] = list(names)
    (out / "config.json").write_text(json.dumps(content))
    network = SegmentationNetwork(config.model, len(names) - 1, ON_CPU)
    file = out / SemsegLearner.network_file
    write_weights(file, network.state_dict(), read_header(file))
    return out


def predict(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["predict", *map(str, words), "--device", "cpu"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done.exit_code, done.output


def written(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.name.startswith(".")
    }


def write_own(root: Path) -> None:
    for name in ("a", "b"):
        folder_writer.write_folder(root / name, "npy", sweeps=2)
    (root / "b" / "velodyne").mkdir()
    for file in (root / "b").glob("*.npy"):
        file.rename(root / "b/velodyne" / file.name)


class Case(NamedTuple):
    write: Callable[[Path], object]
    names: tuple[str, ...]
    files: list[str]
    read_back: tuple[str, str] | None  # where in OUT, and where in ROOT, so that the adapter reads them


CASES = {
    "waymo": Case(
        lambda root: (root.mkdir(), waymo_writer.write_dataset(root)),
        find_layout("waymo").class_names,
        ["training/lidar_segmentation/10_000_000.parquet"],
        ("training/lidar_segmentation", "training/lidar_segmentation"),
    ),
    "nuscenes": Case(
        nuscenes_writer.write,
        find_layout("nuscenes").class_names,
        [
            *(f"lidarseg/train/v1.0-trainval-scene-0001-LIDAR_TOP-{k}_lidarseg.bin" for k in (0, 2)),
            *(f"lidarseg/val/v1.0-trainval-scene-0003-LIDAR_TOP-{k}_lidarseg.bin" for k in (0, 2)),
        ],
        None,  # the benchmark's are classes, the labels of the dataset raw ids
    ),
    "argoverse2": Case(
        lambda root: argoverse2_writer.make_log(root / "sensor" / "val" / argoverse2_writer.LOG),
        OWN,
        ["classes.txt", *(f"{argoverse2_writer.LOG}/{time}.label" for time in argoverse2_writer.TIMES)],
        None,
    ),
    "kitti": Case(
        lambda root: kitti_writer.write_drive(root, frames=2),
        OWN,
        ["classes.txt", *(f"{kitti_writer.DRIVE}/{k:010d}.label" for k in range(2))],
        None,
    ),
    "folder": Case(
        write_own, OWN, ["classes.txt", *(f"{s}/{k:06d}.label" for s in ("a", "b") for k in range(2))], (".", ".")
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_predictions_are_the_same_from_a_cache_and_from_the_files_and_are_read_back(
    name: str, user_folder: Path, tmp_path: Path, tiny_config: PreprocessConfig
) -> None:
    case, root = CASES[name], tmp_path / "root"
    case.write(root)
    run = run_of(user_folder / "runs/tuned", tmp_path / "run", case.names)
    accept = ("--accept-content",)  # random points
    status, output = predict(run, root, tmp_path / "new/out", "--dataset", name, *accept)
    assert status == 0, output
    files = written(tmp_path / "new/out")
    assert sorted(files) == sorted(case.files)
    if name == "nuscenes":  # the two sweeps between key frames are not even read
        assert "(4 sweeps, " in output
    preprocess(open_dataset(name, root), LocalStore(tmp_path / "cache"), tiny_config, accept_content=True)
    status, output = predict(run, tmp_path / "cache", tmp_path / "from_cache", "--root", root)
    assert status == 0, output
    assert written(tmp_path / "from_cache") == files
    if case.read_back is not None:
        out, target = tmp_path / "new/out" / case.read_back[0], root / case.read_back[1]
        if target != root:
            shutil.rmtree(target)
        shutil.copytree(out, target, dirs_exist_ok=True)
        dataset = open_dataset(name, root)
        assert dataset.class_names == case.names
        found = [dataset.read(sequence, 0) for sequence in dataset.sequences()]
        for sweep in found:
            assert sweep.semantic is not None
            valid = np.nan_to_num(sweep.xyz).any(axis=1)
            assert (sweep.semantic[valid] > 0).all()
            assert not sweep.semantic[~valid].any()


def test_own_recordings_without_classes_get_those_of_the_run_and_others_are_refused(
    user_folder: Path, tmp_path: Path
) -> None:
    """A network of SemanticKITTI's classes, on sweeps without poses and labels, in one folder."""
    root = folder_writer.write_folder(tmp_path / "drive", sweeps=2, poses=False)
    status, output = predict(user_folder / "runs/tuned", root, tmp_path / "out", "--dataset", "folder")
    assert status == 0, output
    names = find_layout("semantickitti").class_names
    assert sorted(written(tmp_path / "out")) == ["classes.txt", "drive/000000.label", "drive/000001.label"]
    assert (tmp_path / "out/classes.txt").read_text().splitlines() == list(names)
    assert not (tmp_path / "out-poses").exists()
    (root / "classes.txt").write_text("unlabelled\nground\nother\n")
    status, output = predict(user_folder / "runs/tuned", root, tmp_path / "other", "--dataset", "folder")
    assert status == 1
    assert f"{root} has unlabelled, ground, other" in output
    assert not (tmp_path / "other").exists()


def test_points_that_are_deskewed_need_poses(user_folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "drive"
    root.mkdir()
    for index in range(2):
        points = folder_writer.sweep(index)
        timed = np.zeros(len(points), [*points.dtype.descr, ("t", "<f4")])
        for field in points.dtype.names or ():
            timed[field] = points[field]
        timed["t"] = np.linspace(0, 0.1, len(points))
        np.save(root / f"{index}.npy", timed)
    (tmp_path / "poses.txt").write_text(folder_writer.kitti_rows([folder_writer.pose(k) for k in range(2)]))
    words = (user_folder / "runs/tuned", root, tmp_path / "out", "--dataset", "folder")
    status, output = predict(*words, "--poses", tmp_path / "gone.txt")
    assert status == 1
    assert "gone.txt: no such file" in output
    status, output = predict(*words, "--poses", tmp_path / "poses.txt")
    assert status == 0, output
    assert "deskewed by column t" in output


def test_a_bag_gets_labels_by_the_times_of_its_messages(user_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("rosbags")
    from readers import write_bag

    write_bag(tmp_path / "bag")
    status, output = predict(user_folder / "runs/tuned", tmp_path / "bag", tmp_path / "out", "--dataset", "folder")
    assert status == 0, output
    assert sorted(written(tmp_path / "out")) == [
        *("bag/1700000000000000000.label", "bag/1700000000100000000.label", "classes.txt")
    ]


def damage(root: Path) -> None:
    """Cut a file in the middle of a row, remove the points of another, and damage all of sequence b."""
    data = (root / "a/000001.npy").read_bytes()
    (root / "a/000001.npy").write_bytes(data[:-7])
    np.save(root / "a/000002.npy", np.zeros((50, 4), np.float32))
    (root / "b/poses.txt").unlink()
    for file in (root / "b").glob("*.npy"):
        file.write_bytes(b"no array")


def test_bad_sweeps_are_refused_or_left_out_and_listed(user_folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("a", "b"):
        folder_writer.write_folder(root / name, "npy", sweeps=4)
    damage(root)
    words = (user_folder / "runs/tuned", root, tmp_path / "out", "--dataset", "folder")
    status, output = predict(*words)
    assert status == 1
    assert "000001.npy" in output
    assert "leave those sweeps or sequences out with --on-error skip" in output
    assert not (tmp_path / "out").exists()
    status, output = predict(*words, "--on-error", "skip")
    assert status == 3, output
    assert sorted(written(tmp_path / "out")) == ["a/000000.label", "a/000003.label", "classes.txt"]
    for line in ("skipped: a: sweep 000001: ", "skipped: a: sweep 000002: no point of it is valid", "skipped: b: "):
        assert line in output
    status, output = predict(*words, "--on-error", "skip", "--sequences", "b")
    assert status == 1
    assert "000000.npy" in output


def test_a_sweep_without_points_of_a_cache_is_left_out_and_listed(
    user_folder: Path, own_streets: Path, tmp_path: Path, tiny_config: PreprocessConfig
) -> None:
    points = own_streets / "sequences/00/velodyne/000002.bin"
    points.write_bytes(points.read_bytes()[:-3])
    store = LocalStore(tmp_path / "cache")
    preprocess(open_dataset("synthetic", own_streets), store, tiny_config, on_error="skip")
    for run, names in (("tuned", "sequences/00/predictions/{:06d}.label"), ("boxes", "00/{:06d}.txt")):
        status, output = predict(user_folder / "runs" / run, tmp_path / "cache", tmp_path / run)
        assert status == 3, output
        assert "skipped: 00: sweep 000002: no point of it is valid" in output
        assert sorted(written(tmp_path / run)) == [names.format(k) for k in (0, 1, 3, 4, 5)]


def test_boxes_without_a_camera_are_refused_before_anything_is_written(user_folder: Path, tmp_path: Path) -> None:
    root = folder_writer.write_folder(tmp_path / "drive", sweeps=2)
    status, output = predict(user_folder / "runs/boxes", root, tmp_path / "out", "--dataset", "folder")
    assert status == 1
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert "sweep drive/000000: has no camera, in whose frame KITTI's files of boxes are" in line
    assert "iscc_lidar.load_model(RUN)(points)" in line
    assert not (tmp_path / "out").exists()


def test_frames_of_kittis_benchmark_get_result_files(user_folder: Path, tmp_path: Path) -> None:
    root, streets = tmp_path / "root", user_folder / "data/streets/sequences/00"
    for part, source, name in (
        *(("velodyne", "velodyne/000001.bin", "000008.bin"), ("label_2", "label_2/000001.txt", "000008.txt")),
    ):
        (root / "training" / part).mkdir(parents=True)
        shutil.copy(streets / source, root / "training" / part / name)
    rows = dict(line.split(":", 1) for line in (streets / "calib.txt").read_text().splitlines())
    (root / "training/calib").mkdir()
    (root / "training/calib/000008.txt").write_text(
        f"P2:{rows['P2']}\nR0_rect: 1 0 0 0 1 0 0 0 1\nTr_velo_to_cam:{rows['Tr']}\n"
    )
    status, output = predict(user_folder / "runs/boxes", root, tmp_path / "out", "--dataset", "kitti")
    assert status == 0, output
    assert list(written(tmp_path / "out")) == ["000008.txt"]


def test_what_a_run_or_out_is_not_is_one_line(user_folder: Path, tmp_path: Path) -> None:
    tuned, cache = user_folder / "runs/tuned", user_folder / "cache/kitti"
    (tmp_path / "file").write_text("mine")
    other = run_of(tuned, tmp_path / "other", OWN)
    shutil.copy(tuned / SemsegLearner.network_file, other / SemsegLearner.network_file)
    none = run_of(tuned, tmp_path / "none", OWN)
    config = (none / "config.json").read_text()
    (none / "config.json").write_text(config.replace(json.dumps(list(OWN)), "[]"))
    control = run_of(tuned, tmp_path / "control", ("unlabelled", "a\nb"))
    for words, arguments in (
        ("does not fit the network of its options", (other, cache, tmp_path / "out")),
        ("its config.json names 0 classes, expected 2 to 256", (none, cache, tmp_path / "out")),
        ("is no name of a class", (control, cache, tmp_path / "out")),
        ("is a file, expected a folder", (tuned, cache, tmp_path / "file")),
        ("file", (tuned, cache, tmp_path / "file/below")),
        ("--on-error: is for a dataset's own files", (tuned, cache, tmp_path / "out", "--on-error", "skip")),
        ("--poses: is for a dataset's own files", (tuned, cache, tmp_path / "out", "--poses", "odometry")),
        ("no run here", (tmp_path / "gone", cache, tmp_path / "out")),
    ):
        status, output = predict(*arguments)
        assert status == 1, words
        assert words in output
        assert len([line for line in output.splitlines() if line.startswith("error: ")]) == 1
    assert not (tmp_path / "out").exists()


def test_an_interrupted_prediction_leaves_finished_files_and_is_repeated(
    user_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from iscc_lidar.trainer.finetune.semseg import segment

    words = (user_folder / "runs/tuned", user_folder / "cache/kitti", tmp_path / "out")
    calls: list[int] = []
    original = segment.predict

    def interrupted(*arguments: object) -> object:
        calls.append(0)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(segment, "predict", interrupted)
    status, output = predict(*words)
    assert status == 130, output
    finished = written(tmp_path / "out")
    assert len(finished) == 3
    monkeypatch.undo()
    assert predict(*words)[0] == 0
    after = written(tmp_path / "out")
    assert len(after) == 12
    assert {name: after[name] for name in finished} == finished
