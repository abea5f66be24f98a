"""What opens files of others, for ``fuzzing``: a small sound input of each type, and the commands that open it."""

from __future__ import annotations

import shutil
from contextlib import suppress
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import typer

from iscc_lidar.preprocess.datasets.registry import open_dataset
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.label_fractions import read_list
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.spread_labels import SpreadLabels

import argoverse2_writer
import folder_writer
import kitti_writer
import nuscenes_writer
import waymo_writer
from fuzzing import Reader

REAL: Final = Path(__file__).resolve().parents[3] / "shared" / "data"
WINDOWS: Final = ("--set", "window.sweeps=3", "--set", "window.stride=1", "--set", "window.block_sweeps=2")
TINY: Final = tuple(
    text
    for option in (
        *("train.loader_workers=0", "train.device=cpu", "train.log_every=1", "model.voxel_size=0.5"),
        *("model.stem_width=4", "model.encoder_widths=[4,4]", "model.decoder_widths=[4,4]"),
    )
    for text in ("--set", option)
)
ONE: Final = ("--workers", "0")
SMALL_GRID: Final = tuple(
    text
    for option in (
        *("grid.x_max_m=25.6", "grid.y_min_m=-12.8", "grid.y_max_m=12.8"),
        *("head.width=4", "head.deep_width=4", "head.layers=1"),
    )
    for text in ("--set", option)
)

Rng = np.random.Generator


def preprocess_cli(*arguments: str) -> int:
    """Run ``iscc-preprocess`` in this process; return its exit status, raise what it does not catch."""
    from iscc_lidar.preprocess.cli import app

    return _status(app, arguments)


def cache_cli(*arguments: str) -> int:
    """Run ``iscc-cache``."""
    from iscc_lidar.api.cache_cli import app

    return _status(app, arguments)


def train_cli(*arguments: str) -> int:
    """Run ``iscc-train``."""
    from iscc_lidar.api.train_cli import app

    return _status(app, arguments)


def _status(app: typer.Typer, arguments: tuple[str, ...]) -> int:
    try:
        return int(_command(app).main(list(arguments), standalone_mode=False) or 0)
    except SystemExit as end:
        if end.code not in (0, 1, 2, 3):
            raise
        return int(end.code)


@cache
def _command(app: typer.Typer) -> Any:
    return typer.main.get_command(app)  # takes longer than most commands


def open_as_dataset(name: str, given: Path, output: Path, rng: Rng, heavy: bool) -> list[int]:
    """Check a dataset and read all its sweeps; what ``check`` finds sound must be readable."""
    statuses = [preprocess_cli("check", name, str(given))]
    try:
        dataset = open_dataset(name, given)
        for sequence in dataset.sequences():
            for index in range(len(dataset.sweep_names(sequence))):
                dataset.input_files(sequence, index)
                dataset.read(sequence, index)
    except (UserError, ValueError) as error:  # of which the run makes one line
        if statuses == [0]:
            raise AssertionError(f"check finds no error, reading does: {error}") from error
    if heavy:
        to = str(output / "cache")
        statuses += [preprocess_cli("run", name, "--root", str(given), "--cache", to, "--workers", "0", *WINDOWS)]
        if statuses[-1] == 0 and cache_cli("verify", to) != 0:
            raise AssertionError("verify refuses what was just written")
    return statuses


def write_folders(root: Path) -> None:
    """Write own recordings in every format whose package is installed, with poses in both formats."""
    for number, (form, (_, write)) in enumerate(folder_writer.FORMATS.items()):
        if find_spec(folder_writer.NEEDS.get(form, "numpy")) is None:
            continue
        folder = folder_writer.write_folder(root / form, form, sweeps=0)
        poses = [folder_writer.pose(index) for index in range(2)]
        for index in range(2):
            write(folder / f"{index}{folder_writer.FORMATS[form][0]}", folder_writer.sweep(index)[::4])
        (folder / "poses.txt").write_text(folder_writer.kitti_rows(poses))
        if number % 2:
            (folder / "poses.txt").unlink()
            (folder / "a.tum").write_text(folder_writer.tum_rows(poses, ["0", "0.1"]))
    (root / "classes.txt").write_text("unlabelled\nground\nother\n")
    if find_spec("rosbags") is not None:
        write_bag(root / "bag")


def write_bag(path: Path) -> None:
    """Write a bag with two point clouds and their poses."""
    from bag_writer import START_NS, BagWriter

    with BagWriter(path) as bag:
        for index in range(2):
            bag.cloud("/points", START_NS + index * 10**8, "lidar", folder_writer.sweep(index)[::4])
            bag.transform("/tf", START_NS + index * 10**8, "odom", "lidar", folder_writer.pose(index))


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


def open_as_cache(given: Path, output: Path, rng: Rng, heavy: bool) -> list[int]:
    """Open a cache by every command that reads one, and by the reader."""
    verified = cache_cli("verify", str(given))
    statuses = [
        verified,
        cache_cli("info", str(given)),
        cache_cli("export", str(given), str(output / "exported"), "--to", "semantickitti"),
        cache_cli("fractions", str(given), str(output / "fractions")),
    ]
    try:
        reader = Cache(given)
        for sequence in reader.sequence_names:
            for index in range(reader.sequence(sequence).sweeps):
                reader.sweep(sequence, index)
                reader.boxes(sequence, index)
                reader.group_boxes(sequence, index)
                reader.camera(sequence, index)
    except UserError as error:
        if verified == 0:
            raise AssertionError(f"verify finds no problem, reading does: {error}") from error
    if heavy:
        statuses += [
            cache_cli("show", str(given), "--out", str(output / "picture.png")),
            pretrain(given, output / "run", "train.steps=1"),
        ]
    return statuses


def pretrain(cache: Path, out: Path, *options: str) -> int:
    """Pre-train a tiny network for a few steps."""
    sets = [text for option in options for text in ("--set", option)]
    return train_cli("pretrain", "--cache", str(cache), "--out", str(out), "--recipe", "quick", *TINY, *sets)


def write_run(root: Path) -> None:
    """A pre-training of two steps on three coarse sweeps."""
    cache = root.with_name("cache")
    write_cache(cache)
    assert pretrain(cache, root, "train.steps=2", "train.checkpoint_every=1") == 0


def open_as_run(given: Path, output: Path, rng: Rng, heavy: bool) -> list[int]:
    """Open a run folder by the commands that take one: exports, the page, resuming it, fine-tuning from it."""
    target = ("native", "pointcept", "mmdetection3d", "openpcdet")[int(rng.integers(4))]
    statuses = [
        train_cli("export", str(given), "--to", target, "--out", str(output / "exported")),
        train_cli("report", str(given), "--out", str(output / "page.html"), "--set", "sweeps=0"),
    ]
    if heavy:
        cache, copy = ("--cache", str(given.parent.parent / "cache")), output / "run"
        _copy_folder(given, copy)
        sets = ("--set", "train.steps=1", "--set", "train.loader_workers=0", "--set", "train.device=cpu")
        statuses += [
            train_cli("pretrain", *cache, "--out", str(copy), "--recipe", str(copy / "config.toml"), "--resume"),
            train_cli(
                *("finetune", "semseg", "--train-cache", cache[1], "--val-cache", cache[1], "--encoder", str(given)),
                *("--out", str(output / "tuned"), "--recipe", "quick", *sets),
            ),
        ]
    return statuses


def write_predictable(root: Path) -> None:
    """Two fine-tuned runs of a step, and a cache and a dataset to predict."""
    streets, cache = root / "data", root / "cache"
    root.mkdir()
    write_synthetic(streets)
    assert (
        preprocess_cli("run", "synthetic", "--root", str(streets), "--cache", str(cache), "--workers", "0", *WINDOWS)
        == 0
    )
    shutil.rmtree(cache / ".steps")  # which no reader reads
    caches = ("--train-cache", str(cache), "--val-cache", str(cache))
    for task, more in (("semseg", ()), ("detection", SMALL_GRID)):
        options = ("--recipe", "quick", *TINY, "--set", "train.steps=1", *more)
        assert train_cli("finetune", task, *caches, "--out", str(root / task), *options) == 0


def open_as_predictable(given: Path, output: Path, rng: Rng, heavy: bool) -> list[int]:
    """Predict a cache and a dataset's files with one of two runs."""
    run = str(given / ("semseg", "detection")[int(rng.integers(2))])
    words = ("--dataset", "synthetic", "--on-error", "skip")
    return [
        train_cli("predict", run, str(given / "cache"), str(output / "from-cache"), "--device", "cpu"),
        train_cli("predict", run, str(given / "data"), str(output / "from-data"), "--device", "cpu", *words),
    ]


def write_spread(root: Path) -> None:
    """Labels and boxes that were spread from one of three sweeps, the labels of all as files, and a list."""
    root.mkdir()
    cache = root.with_name("cache")
    write_cache(cache)
    (root / "labelled.txt").write_text("00/000001\n")
    assert cache_cli("spread", str(cache), str(root / "spread"), "--labelled", str(root / "labelled.txt"), *ONE) == 0
    opened, files = Cache(cache), root / "files"
    (files / "00").mkdir(parents=True)
    (files / "classes.txt").write_text("".join(f"{name}\n" for name in opened.manifest.class_names))
    for index, name in enumerate(opened.sweep_names("00")):
        opened.classes("00", index).astype("<u4").tofile(files / "00" / f"{name}.label")


def open_as_spread(given: Path, output: Path, rng: Rng, heavy: bool) -> list[int]:
    """Read spread labels, complete them, and spread and audit labels of files."""
    cache = given.parent.parent / "cache"
    statuses, readable = [], False
    with suppress(UserError):
        labels = SpreadLabels(given / "spread", Cache(cache))
        for index in range(3):
            labels.sweep("00", index)
            labels.boxes("00", index)
        readable = True
    statuses.append(0 if readable else 1)
    listed = ("--labelled", str(given / "labelled.txt"), *ONE)
    again = output / "again"
    if (given / "spread").is_dir():
        _copy_folder(given / "spread", again)
    statuses += [
        cache_cli("spread", str(cache), str(again), *listed),
        cache_cli("spread", str(cache), str(output / "own"), *listed, "--labels", str(given / "files")),
        cache_cli("audit", str(cache), str(output / "audit"), "--labels", str(given / "files"), "--pictures", "0"),
    ]
    if heavy:
        task = ("semseg", "detection")[int(rng.integers(2))]
        options = ("--recipe", "quick", *TINY, "--set", "train.steps=1", *(SMALL_GRID if task == "detection" else ()))
        words = ("finetune", task, "--train-cache", str(cache), "--spread", str(given / "spread"))
        statuses.append(train_cli(*words, "--out", str(output / "tuned"), *options))
    return statuses


def write_corrections(root: Path) -> None:
    """Corrections of groups: a table, and folders of two labelling tools in which a group was named."""
    root.mkdir()
    cache = root.with_name("cache")
    write_cache(cache)
    opened = Cache(cache)
    group, other = opened.group_ids("00")[:2].tolist()
    rows = [f"00,{group},,car,,", f'00,{other},a,"person",0-1,', "00,ground,,road,,", "00,,b,car,2,0-3 7"]
    (root / "table.csv").write_text("\n".join(["sequence,group,object,class,sweeps,points", *rows, ""]))
    for tool in ("point-labeler", "cvat"):
        assert cache_cli("export", str(cache), str(root / tool), "--to", tool) == 0
    shutil.copytree(root / "cvat/00/annotations", root / "from-cvat/00")
    for unread in ("cvat", "point-labeler/00/velodyne"):
        shutil.rmtree(root / unread)
    (root / "point-labeler/00/velodyne").mkdir()
    file = root / "point-labeler/00/labels/000001.label"
    raw = np.fromfile(file, "<u4")
    raw[:20] = 1
    raw.tofile(file)


def open_as_corrections(given: Path, output: Path, rng: Rng, heavy: bool) -> list[int]:
    """Import a table, and the folders of labelling tools."""
    cache = given.parent.parent / "cache"
    return [
        cache_cli("import", str(cache), str(output / name), "--from", str(given / name))
        for name in ("table.csv", "point-labeler", "from-cvat")
    ]


def write_labels_only(root: Path) -> None:
    """Labels of three coarse synthetic sweeps, without their points."""
    cache = root.with_name("cache")
    write_cache(cache)
    assert cache_cli("export", str(cache), str(root), "--to", "labels-only") == 0


def open_as_labels_only(given: Path, output: Path, rng: Rng, heavy: bool) -> list[int]:
    """Join labels without points to the raw files."""
    streets = given.parent.parent / "streets"
    return [cache_cli("join", str(given), str(streets), str(output / "joined"), *ONE)]


def _copy_folder(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True, ignore_dangling_symlinks=True, copy_function=_copy_regular)


def _copy_regular(source: str, target: str) -> str:
    return shutil.copy(source, target) if Path(source).is_file() else target


def write_list(root: Path) -> None:
    """A list of labelled sweeps, of some sequences."""
    root.mkdir()
    lines = ["# 10 %", *(f"{sequence}/{index:06d}" for sequence in ("00", "01") for index in range(0, 40, 7))]
    (root / "10_0.txt").write_text("\n".join(lines) + "\n")


def open_as_list(given: Path, output: Path, rng: Rng, heavy: bool) -> list[int]:
    """Read lists of labelled sweeps."""
    known = {sequence: tuple(f"{index:06d}" for index in range(40)) for sequence in ("00", "01")}
    for path in given.iterdir():
        with_text = read_list(path, known)
        assert all(name in known[sequence] for sequence, name in with_text)
    return []


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


def open_as_objects(given: Path, output: Path, rng: Rng, heavy: bool) -> list[int]:
    """Read labels, results and calibration of KITTI's object benchmark; status 0 where one of them takes a file."""
    from iscc_lidar.shared.layouts.formats.kitti_objects import read_camera, read_objects

    statuses = []
    for path in given.iterdir():
        status = 1
        for attempt in (read_objects, partial(read_objects, scored=True), read_camera):
            with suppress(UserError):
                attempt(path)
                status = 0
        statuses.append(status)
    return statuses


READERS: Final = {
    "folder": Reader(write_folders, partial(open_as_dataset, "folder")),
    "semantickitti": Reader(write_semantickitti, partial(open_as_dataset, "semantickitti")),
    "synthetic": Reader(write_synthetic, partial(open_as_dataset, "synthetic")),
    "kitti-raw": Reader(write_kitti_raw, partial(open_as_dataset, "kitti")),
    "kitti-object": Reader(write_kitti_object, partial(open_as_dataset, "kitti")),
    "nuscenes": Reader(nuscenes_writer.write, partial(open_as_dataset, "nuscenes")),
    "waymo": Reader(write_waymo, partial(open_as_dataset, "waymo")),
    "argoverse2": Reader(write_argoverse2, partial(open_as_dataset, "argoverse2")),
    "cache": Reader(write_cache, open_as_cache),
    "run": Reader(write_run, open_as_run),
    "predict": Reader(write_predictable, open_as_predictable),
    "list": Reader(write_list, open_as_list),
    "objects": Reader(write_objects, open_as_objects),
    "spread": Reader(write_spread, open_as_spread),
    "corrections": Reader(write_corrections, open_as_corrections),
    "labels-only": Reader(write_labels_only, open_as_labels_only),
}
