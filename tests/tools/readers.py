"""What opens files of others, for ``fuzzing``: a small sound input of each type, and the commands that open it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from iscc_lidar.preprocess.datasets.registry import open_dataset
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.label_fractions import read_list
from iscc_lidar.shared.cache.reader import Cache

import argoverse2_writer
import kitti_writer
import nuscenes_writer
import waymo_writer
from fuzzing import Reader

REAL: Final = Path(__file__).resolve().parents[3] / "shared" / "data"
WINDOWS: Final = ("--set", "window.sweeps=3", "--set", "window.stride=1", "--set", "window.block_sweeps=2")
_HEAVY_EVERY: Final = 20
"""Of so many inputs one goes through the commands that take long: all of preprocessing, pictures, pages."""

Rng = np.random.Generator


def preprocess_cli(*arguments: str) -> int:
    """Run ``iscc-preprocess`` in this process; return its exit status, raise what it does not catch."""
    from iscc_lidar.preprocess.cli import app

    return _status(app, arguments)


def cache_cli(*arguments: str) -> int:
    """Run ``iscc-cache``."""
    from iscc_lidar.shared.cache_cli import app

    return _status(app, arguments)


def train_cli(*arguments: str) -> int:
    """Run ``iscc-train``."""
    from iscc_lidar.trainer.cli import app

    return _status(app, arguments)


def _status(app: Any, arguments: tuple[str, ...]) -> int:
    try:
        return int(app(list(arguments), standalone_mode=False) or 0)
    except SystemExit as end:
        if end.code not in (0, 1, 2, 3):
            raise
        return int(end.code)


def open_as_dataset(name: str, given: Path, output: Path, rng: Rng) -> None:
    """Check a dataset and read all its sweeps; what ``check`` finds sound must be readable."""
    sound = preprocess_cli("check", name, str(given)) == 0
    try:
        dataset = open_dataset(name, given)
        for sequence in dataset.sequences():
            for index in range(len(dataset.sweep_names(sequence))):
                dataset.input_files(sequence, index)
                dataset.read(sequence, index)
    except (UserError, ValueError) as error:  # of which the run makes one line
        if sound:
            raise AssertionError(f"check finds no error, reading does: {error}") from error
    if rng.random() < 1 / _HEAVY_EVERY:
        cache = str(output / "cache")
        done = preprocess_cli("run", name, "--root", str(given), "--cache", cache, "--workers", "0", *WINDOWS)
        if done == 0 and cache_cli("verify", cache) != 0:
            raise AssertionError("verify refuses what was just written")


def write_semantickitti(root: Path, real: Path = REAL / "semantickitti" / "sequences" / "00") -> None:
    """Three real sweeps with labels, one point in a hundred; synthetic ones where there is no real data."""
    if not real.is_dir():
        write_synthetic(root)
        shutil.rmtree(root / "sequences" / "00" / "label_2")
        (root / "sequences" / "00" / "synthetic.json").unlink()
        return
    folder = root / "sequences" / "00"
    for part, columns in (("velodyne", 4), ("labels", 1)):
        (folder / part).mkdir(parents=True)
        for path in sorted((real / part).iterdir())[:3]:
            np.fromfile(path, "<u4").reshape(-1, columns)[::100].tofile(folder / part / path.name)
    for name in ("calib.txt", "poses.txt", "times.txt"):
        if (real / name).exists():
            (folder / name).write_text("".join((real / name).read_text().splitlines(keepends=True)[:20]))


def write_synthetic(root: Path) -> None:
    """Three coarse synthetic sweeps with labels and boxes."""
    from iscc_lidar.preprocess.synthetic.config import SynthConfig
    from iscc_lidar.preprocess.synthetic.generate import generate

    generate(root, SynthConfig(sequences=1, sweeps=3, beams=16, columns=64), workers=0)


def write_argoverse2(root: Path) -> None:
    """Two sweeps of one log."""
    argoverse2_writer.make_log(root / "sensor" / "val" / argoverse2_writer.LOG)


def write_waymo(root: Path) -> None:
    """Three frames of one context, with boxes."""
    root.mkdir()
    waymo_writer.write_dataset(root)


def write_kitti_raw(root: Path) -> None:
    """Five sweeps of one drive."""
    kitti_writer.write_drive(root, points=50)


def write_kitti_object(root: Path) -> None:
    """Real frames with labels and calibration, one point in a hundred, else frames of the tests' writer."""
    real = REAL / "kitti_detection" / "training"
    if not real.is_dir():
        kitti_writer.write_object(root)
        return
    for path in sorted((real / "velodyne").glob("*.bin"))[:2]:
        for part, suffix in (("velodyne", ".bin"), ("label_2", ".txt"), ("calib", ".txt")):
            target = root / "training" / part / f"{path.stem}{suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(real / part / target.name, target)
        np.fromfile(path, "<f4").reshape(-1, 4)[::100].tofile(root / "training" / "velodyne" / path.name)


def write_cache(root: Path) -> None:
    """The cache of three coarse synthetic sweeps."""
    streets = root.with_name("streets")
    write_synthetic(streets)
    run = ("run", "synthetic", "--root", str(streets), "--cache", str(root), "--workers", "0", *WINDOWS)
    assert preprocess_cli(*run) == 0


def open_as_cache(given: Path, output: Path, rng: Rng) -> None:
    """Open a cache by every command that reads one, and by the reader."""
    cache_cli("info", str(given))
    sound = cache_cli("verify", str(given)) == 0
    cache_cli("export", str(given), str(output / "exported"), "--to", "semantickitti")
    cache_cli("fractions", str(given), str(output / "fractions"))
    try:
        cache = Cache(given)
        for sequence in cache.sequence_names:
            for index in range(cache.sequence(sequence).sweeps):
                cache.sweep(sequence, index)
                cache.boxes(sequence, index)
                cache.camera(sequence, index)
    except UserError as error:
        if sound:
            raise AssertionError(f"verify finds no problem, reading does: {error}") from error
    if rng.random() < 1 / _HEAVY_EVERY:
        cache_cli("show", str(given), "--out", str(output / "picture.png"))
        tiny = ("--set", "train.steps=1", "--set", "train.loader_workers=0", "--set", "train.device=cpu")
        train_cli("pretrain", "--cache", str(given), "--out", str(output / "run"), "--recipe", "quick", *tiny)


def write_run(root: Path) -> None:
    """A pre-training of two steps on three coarse sweeps."""
    cache = root.with_name("cache")
    write_cache(cache)
    options = ("train.steps=2", "train.checkpoint_every=1", "train.log_every=1", "train.loader_workers=0")
    sets = [text for option in (*options, "train.device=cpu") for text in ("--set", option)]
    assert train_cli("pretrain", "--cache", str(cache), "--out", str(root), "--recipe", "quick", *sets) == 0


def open_as_run(given: Path, output: Path, rng: Rng) -> None:
    """Open a run folder by the commands that take one: exports, the page, fine-tuning from it."""
    target = ("native", "pointcept", "mmdetection3d", "openpcdet")[int(rng.integers(4))]
    train_cli("export", str(given), "--to", target, "--out", str(output / "exported"))
    train_cli("report", str(given), "--out", str(output / "page.html"), "--set", "sweeps=0")
    cache = str(given.parent.parent / "cache")
    if rng.random() < 1 / _HEAVY_EVERY:
        copy = output / "run"
        shutil.copytree(given, copy, symlinks=True, ignore_dangling_symlinks=True, copy_function=_copy_regular)
        train_cli("pretrain", "--cache", cache, "--out", str(copy), "--resume", "--set", "train.steps=2")
        train_cli(
            *("finetune", "semseg", "--train-cache", cache, "--val-cache", cache, "--encoder", str(given)),
            *("--out", str(output / "tuned"), "--recipe", "quick", "--set", "train.steps=1"),
            *("--set", "train.loader_workers=0", "--set", "train.device=cpu"),
        )


def _copy_regular(source: str, target: str) -> str:
    return shutil.copy(source, target) if Path(source).is_file() else target


def write_list(root: Path) -> None:
    """A list of labelled sweeps, of some sequences."""
    root.mkdir()
    lines = ["# 10 %", *(f"{sequence}/{index:06d}" for sequence in ("00", "01") for index in range(0, 40, 7))]
    (root / "10_0.txt").write_text("\n".join(lines) + "\n")


def open_as_list(given: Path, output: Path, rng: Rng) -> None:
    """Read lists of labelled sweeps."""
    known = {sequence: tuple(f"{index:06d}" for index in range(40)) for sequence in ("00", "01")}
    for path in given.iterdir():
        with_text = read_list(path, known)
        assert all(name in known[sequence] for sequence, name in with_text)


def write_objects(root: Path) -> None:
    """Labels and calibration of KITTI's object benchmark."""
    write_kitti_object(root.with_name("frames"))
    source = root.with_name("frames") / "training"
    if not (source / "label_2").is_dir():
        root.mkdir()
        line = "Car 0.00 0 1.85 387.63 181.54 423.81 203.12 1.67 1.87 3.69 -16.53 2.39 58.49 1.57"
        (root / "000000.txt").write_text(f"{line}\n")
        return
    shutil.copytree(source / "label_2", root)
    for path in (source / "calib").iterdir():
        shutil.copy(path, root / f"calib_{path.name}")


def open_as_objects(given: Path, output: Path, rng: Rng) -> None:
    """Read labels, results and calibration of KITTI's object benchmark."""
    from iscc_lidar.shared.layouts.formats.kitti_objects import read_camera, read_objects

    for path in given.iterdir():
        opens: list[Callable[[], object]] = [partial(read_objects, path), partial(read_objects, path, scored=True)]
        for attempt in (*opens, partial(read_camera, path)):
            try:
                attempt()
            except UserError:
                continue


READERS: Final = {
    "semantickitti": Reader(write_semantickitti, partial(open_as_dataset, "semantickitti")),
    "synthetic": Reader(write_synthetic, partial(open_as_dataset, "synthetic")),
    "kitti-raw": Reader(write_kitti_raw, partial(open_as_dataset, "kitti")),
    "kitti-object": Reader(write_kitti_object, partial(open_as_dataset, "kitti")),
    "nuscenes": Reader(partial(nuscenes_writer.write, points=64), partial(open_as_dataset, "nuscenes")),
    "waymo": Reader(write_waymo, partial(open_as_dataset, "waymo")),
    "argoverse2": Reader(write_argoverse2, partial(open_as_dataset, "argoverse2")),
    "cache": Reader(write_cache, open_as_cache),
    "run": Reader(write_run, open_as_run),
    "list": Reader(write_list, open_as_list),
    "objects": Reader(write_objects, open_as_objects),
}
