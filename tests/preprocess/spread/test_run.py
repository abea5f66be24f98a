"""Spreading as a whole: what is written, resumed and refused."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from clusters import Cluster

from iscc_lidar.data_schemas.spread import FROM_LABEL, FROM_NOTHING, SPREAD_FILE
from iscc_lidar.preprocess.run.executor import Executor
from iscc_lidar.preprocess.spread import tasks
from iscc_lidar.preprocess.spread.evidence import count_votes, ground_at_groups
from iscc_lidar.preprocess.spread.rule import SpreadConfig
from iscc_lidar.preprocess.spread.run import spread
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.geometry import transform
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.spread_labels import SpreadLabels
from iscc_lidar.shared.cache.spread_quality import measure_quality, quality_content, quality_table
from iscc_lidar.shared.layouts.formats.label_files import open_label_files
from iscc_lidar.shared.layouts.semantickitti import RAW_OF_CLASS
from iscc_lidar.shared.store.local import LocalStore

LABELLED = [("00", "000002"), ("01", "000001"), ("01", "000004")]


def files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


@pytest.fixture(scope="module")
def done(tiny_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("spread") / "out"
    spread(Cache(tiny_cache), LocalStore(out), LABELLED, SpreadConfig())
    return out


def test_labels_reach_the_other_sweeps_and_are_mostly_right(tiny_cache: Path, done: Path) -> None:
    cache = Cache(tiny_cache)
    labels = SpreadLabels(done, cache)
    assert labels.labelled("01") == (1, 4)
    own = labels.sweep("01", 4)
    np.testing.assert_array_equal(own.classes, cache.classes("01", 4))
    assert (own.source == FROM_LABEL).all()
    assert labels.points()["label"] == sum(
        np.count_nonzero(cache.classes(*at)) for at in (("00", 2), ("01", 1), ("01", 4))
    )
    quality = measure_quality(cache, labels)
    assert quality is not None
    content = quality_content(quality, cache.manifest.class_names)
    assert content["sweeps"] == 9
    assert content["labelled"] > 0.8
    assert content["right"] > 0.9
    assert content["source"]["label"]["points"] == 0
    assert abs(quality.sure.sum() / quality.level[:, 1].sum() - content["right"]) < 0.05  # a coarse sensor
    for sequence in ("00", "01"):
        for index in range(6):
            found = labels.sweep(sequence, index)
            assert (found.classes[found.source == FROM_NOTHING] == 0).all()
            assert ((found.confidence > 0) == (found.classes > 0)).all()
            assert len(found.classes) == len(cache.label(sequence, index))


def test_the_quality_counts_apart_what_people_left_unlabelled(tmp_path: Path, tiny_cache: Path) -> None:
    """Labels in which nothing above -0.5 m has a class: it has none on the other sweeps, either."""
    cache = Cache(tiny_cache)
    names = "unlabelled", *cache.manifest.class_names[1:]
    folder = tmp_path / "labels"
    for sequence, name in LABELLED:
        sweep = cache.sweep(sequence, int(name))
        (folder / sequence).mkdir(parents=True, exist_ok=True)
        classes = np.where(
            transform(sweep.world_SE3_sensor, sweep.xyz)[:, 2] > -0.5, 0, cache.classes(sequence, int(name))
        )
        classes.astype("<u4").tofile(folder / sequence / f"{name}.label")
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in names))
    spread(cache, LocalStore(tmp_path / "out"), LABELLED, SpreadConfig(), files=open_label_files(folder, names))
    labels = SpreadLabels(tmp_path / "out", cache)
    told, high = 0, 0
    for index in (0, 2, 5):
        sweep = cache.sweep("01", index)
        above = transform(sweep.world_SE3_sensor, sweep.xyz)[:, 2] > -0.2
        told += np.count_nonzero(labels.sweep("01", index).classes[above])
        high += np.count_nonzero(above)
    assert high > 500
    assert told < 0.02 * high
    quality = measure_quality(cache, SpreadLabels(tmp_path / "out", cache))
    assert quality is not None
    content = quality_content(quality, cache.manifest.class_names)
    own = {(sequence, int(name)) for sequence, name in LABELLED}
    others = ((sequence, index) for sequence in ("00", "01") for index in range(6) if (sequence, index) not in own)
    points = sum(len(cache.label(*at)) for at in others)
    assert content["left_unlabelled"]["points"] + sum(row["points"] for row in content["classes"].values()) == points
    table = quality_table(content)
    assert f"{content['left_unlabelled']['points']:,}" in next(x for x in table.splitlines() if "left unlabelled" in x)


def test_nothing_is_told_of_the_ground_at_what_moves(tiny_cache: Path, done: Path, tmp_path: Path) -> None:
    cache = Cache(tiny_cache)
    spread(cache, LocalStore(tmp_path / "out"), LABELLED, SpreadConfig(rule="position"))
    labels, by_position = SpreadLabels(done, cache), SpreadLabels(tmp_path / "out", cache)
    known = 0
    for sequence, index in (("00", 3), ("01", 0), ("01", 2), ("01", 5)):
        sweep = cache.sweep(sequence, index)
        shown = ((cache.label(name, int(k)), cache.classes(name, int(k))) for name, k in LABELLED if name == sequence)
        moving = count_votes(shown, cache.moving_groups(sequence), len(cache.manifest.class_names)).objects
        world = transform(sweep.world_SE3_sensor, sweep.xyz)
        feet = ground_at_groups(world, sweep.label, moving) & sweep.xyz.any(axis=1)
        assert not labels.sweep(sequence, index).classes[feet].any()
        known += np.count_nonzero(by_position.sweep(sequence, index).classes[feet])
    assert known > 20, "no such ground in this street: the test says nothing"


@pytest.mark.parametrize("executor", [Executor(0), Executor(2)])
def test_the_result_is_the_same_whatever_the_workers(
    tiny_cache: Path, done: Path, tmp_path: Path, executor: Executor
) -> None:
    spread(Cache(tiny_cache), LocalStore(tmp_path / "out"), LABELLED[::-1], SpreadConfig(), executor)
    assert files(tmp_path / "out") == files(done)


def test_stretches_do_not_change_the_labels_of_a_short_sequence(
    tiny_cache: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "STRETCH", 2)
    cache = Cache(tiny_cache)
    spread(cache, LocalStore(tmp_path / "out"), LABELLED, SpreadConfig())
    assert len(list((tmp_path / "out/sequences/00").iterdir())) == 3
    whole, parts = SpreadLabels(done, cache), SpreadLabels(tmp_path / "out", cache)
    for index in range(6):
        np.testing.assert_array_equal(whole.sweep("00", index).classes, parts.sweep("00", index).classes)


def test_only_what_changed_is_done_again(tiny_cache: Path, done: Path, tmp_path: Path) -> None:
    shutil.copytree(done, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.parquet")}
    cache, store = Cache(tiny_cache), LocalStore(tmp_path / "out")
    spread(cache, store, LABELLED, SpreadConfig())
    assert {path: path.stat().st_mtime_ns for path in before} == before
    (damaged,) = (tmp_path / "out/sequences/00").iterdir()
    content = bytearray(damaged.read_bytes())
    content[len(content) // 3] ^= 1
    damaged.write_bytes(content)
    spread(cache, store, LABELLED[:2], SpreadConfig())
    assert damaged.read_bytes() == (done / damaged.relative_to(tmp_path / "out")).read_bytes()
    assert SpreadLabels(tmp_path / "out", cache).labelled("01") == (1,)
    spread(cache, store, LABELLED[:1], SpreadConfig())
    assert [path.name for path in (tmp_path / "out/sequences").iterdir()] == ["00"]


def test_labels_by_another_rule_are_made_again(
    tiny_cache: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(done, tmp_path / "out")
    made = []
    spread_to = tasks.spread_to
    monkeypatch.setattr(tasks, "spread_to", lambda *given: (made.append(given), spread_to(*given))[1])
    spread(Cache(tiny_cache), LocalStore(tmp_path / "out"), LABELLED, SpreadConfig())
    assert not made
    monkeypatch.setattr(tasks, "RULE", tasks.RULE + 1)
    spread(Cache(tiny_cache), LocalStore(tmp_path / "out"), LABELLED, SpreadConfig())
    assert len(made) == 2


def test_a_killed_run_is_not_taken_for_finished_and_goes_on(tiny_cache: Path, done: Path, tmp_path: Path) -> None:
    out, code = tmp_path / "out", tmp_path / "slow.py"
    code.write_text(
        "import sys, time\nfrom pathlib import Path\nfrom iscc_lidar.preprocess.spread import tasks\n"
        "from iscc_lidar.preprocess.spread.rule import SpreadConfig\n"
        "from iscc_lidar.preprocess.spread.run import spread\n"
        "from iscc_lidar.shared.cache.reader import Cache\nfrom iscc_lidar.shared.store.local import LocalStore\n"
        "real = tasks.report_sweeps\ndef slow(sweeps):\n real(sweeps)\n time.sleep(60)\ntasks.report_sweeps = slow\n"
        f"spread(Cache(sys.argv[1]), LocalStore(Path(sys.argv[2])), {LABELLED!r}, SpreadConfig())\n"
    )
    process = subprocess.Popen([sys.executable, str(code), str(tiny_cache), str(out)])
    end = time.monotonic() + 60
    while not list(out.glob("sequences/*/*.parquet")):
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with pytest.raises(UserError, match=r"no spread labels here \(spread.json is missing\)"):
        SpreadLabels(out, Cache(tiny_cache))
    (first,) = out.glob("sequences/*/*.parquet")
    before = first.stat().st_mtime_ns
    spread(Cache(tiny_cache), LocalStore(out), LABELLED, SpreadConfig())
    assert first.stat().st_mtime_ns == before
    assert files(out) == files(done)


def test_labels_of_files_are_those_of_the_cache(
    tiny_cache: Path, tiny_streets: Path, done: Path, tmp_path: Path
) -> None:
    cache = Cache(tiny_cache)
    own = tmp_path / "own"
    for sequence, name in LABELLED:
        (own / sequence).mkdir(parents=True, exist_ok=True)
        cache.classes(sequence, int(name)).astype("<u4").tofile(own / sequence / f"{name}.label")
    (own / "classes.txt").write_text("".join(f"{name}\n" for name in cache.manifest.class_names))
    for number, folder in enumerate((tiny_streets, own)):
        labels = open_label_files(folder, cache.manifest.class_names)
        spread(cache, LocalStore(tmp_path / f"out{number}"), LABELLED, SpreadConfig(), files=labels)
        assert files(tmp_path / f"out{number}") == files(done)
    assert len(RAW_OF_CLASS) == len(cache.manifest.class_names)


def test_what_cannot_be_spread_is_one_line_and_touches_nothing(tiny_cache: Path, tmp_path: Path) -> None:
    cache = Cache(tiny_cache)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/thesis.txt").write_text("mine")
    with pytest.raises(UserError, match=r"contains thesis.txt, which is no part of spread labels"):
        spread(cache, LocalStore(tmp_path / "foreign"), LABELLED, SpreadConfig())
    with pytest.raises(UserError, match=r"which is no part of spread labels"):
        spread(cache, LocalStore(tiny_cache), LABELLED, SpreadConfig())
    shutil.copytree(tiny_cache / "sequences", tmp_path / "data/sequences")
    before = files(tmp_path / "data")
    with pytest.raises(UserError, match=r"which is no part of spread labels"):
        spread(cache, LocalStore(tmp_path / "data"), LABELLED, SpreadConfig())
    assert files(tmp_path / "data") == before
    with pytest.raises(UserError, match=r"expected classes.txt and SEQUENCE/NAME.label, or"):
        open_label_files(tmp_path, ())
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/classes.txt").write_text("unlabelled\ncar\n")
    with pytest.raises(UserError, match=r"its classes are unlabelled, car; those of the cache unlabelled, car, b"):
        open_label_files(tmp_path / "labels", cache.manifest.class_names)
    labels = open_label_files(tmp_path / "labels", ())
    with pytest.raises(UserError, match=r"000002.label: no such file; expected the labels of sweep 00/000002"):
        spread(cache, LocalStore(tmp_path / "out"), LABELLED, SpreadConfig(), files=labels)
    (tmp_path / "labels/00").mkdir()
    file, points = tmp_path / "labels/00/000002.label", len(cache.label("00", 2))
    for content, says in (
        (np.zeros(points - 1, "<u4"), rf"{4 * points - 4} bytes, expected 4 for each of the sweep's {points} points"),
        (np.full(points, 2, "<u4"), r"has the class 2; .*classes.txt names 2, from 0"),
        (np.zeros(points, "<u4"), r"000002.label: no point has a class; label it, or leave the sweep out of the list"),
    ):
        content.tofile(file)
        with pytest.raises(UserError, match=says):
            spread(cache, LocalStore(tmp_path / "out"), LABELLED, SpreadConfig(), files=labels)
    assert not (tmp_path / "out" / SPREAD_FILE).exists()


def test_workers_of_a_running_cluster_see_the_same_files_under_relative_paths(
    tiny_cache: Path, done: Path, tmp_path: Path
) -> None:
    (tmp_path / "cache").symlink_to(tiny_cache)
    (tmp_path / "labelled.txt").write_text("".join(f"{sequence}/{name}\n" for sequence, name in LABELLED))
    program = [sys.executable, "-c", "from iscc_lidar.api.cache_cli import app; app()"]
    call = [*program, "spread", "cache", "out", "--labelled", "labelled.txt"]
    with ExitStack() as stack:
        call += ["--scheduler", Cluster(tmp_path, stack, 1).address]
        ended = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert ended.returncode == 0, ended.stderr
        assert SpreadLabels(tmp_path / "out", Cache(tiny_cache)).manifest.sequences == (
            SpreadLabels(done, Cache(tiny_cache)).manifest.sequences
        )
        assert not list((tmp_path / "cwd").iterdir())
        assert not list((tmp_path / "out/sequences").glob("probe*"))
        call[5] = "/proc/self/cwd/elsewhere"
        ended = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    assert ended.stderr.endswith("all workers need the same files, under the same paths\n")
