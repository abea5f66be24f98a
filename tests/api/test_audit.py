"""``iscc-cache audit`` and ``spread`` from a shell: what is written and printed."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from iscc_lidar.api.cache_cli import app
from iscc_lidar.shared.base.own import MARK_FILE
from iscc_lidar.shared.cache.reader import Cache


def run(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    return done.exit_code, done.output


@pytest.fixture
def planted(tiny_cache: Path, tiny_streets: Path, tmp_path: Path) -> tuple[Path, int]:
    """Labels in which the largest group that is of one class is of another one in two sweeps of sequence 00."""
    labels, cache = tmp_path / "labels", Cache(tiny_cache)
    for sequence in ("00", "01"):
        shutil.copytree(tiny_streets / "sequences" / sequence / "labels", labels / "sequences" / sequence / "labels")
    label = cache.label("00", 2)
    pure = [g for g in np.unique(label[label >= 0]) if len(np.unique(cache.classes("00", 2)[label == g])) == 1]
    group = max(pure, key=lambda g: int((label == g).sum()))
    for index in (2, 3):
        file = labels / f"sequences/00/labels/{index:06d}.label"
        raw = np.fromfile(file, "<u4")
        raw[cache.label("00", index) == group] = 81  # traffic-sign
        raw.tofile(file)
    return labels, int(group)


def test_a_planted_flip_is_the_first_finding(tiny_cache: Path, planted: tuple[Path, int], tmp_path: Path) -> None:
    labels, group = planted
    status, output = run("audit", tiny_cache, tmp_path / "out", "--labels", labels, "--pictures", 2)
    assert status == 0, output
    with (tmp_path / "out/findings.csv").open() as file:
        rows = list(csv.DictReader(file))
    flips = [row for row in rows if row["kind"] == "flip"]
    assert (flips[0]["sequence"], int(flips[0]["group"]), flips[0]["labelled"]) == ("00", group, "traffic-sign")
    assert (flips[0]["first"], flips[0]["last"], flips[0]["sweeps"]) == ("000002", "000003", "2")
    assert f"group {group}, 000002 to 000003: is traffic-sign in 2 sweeps, else " in output
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [MARK_FILE, "001.png", "002.png", "findings.csv"]
    assert (tmp_path / "out/001.png").read_bytes().startswith(b"\x89PNG")
    again = (tmp_path / "out/findings.csv").read_bytes()
    assert run("audit", tiny_cache, tmp_path / "out", "--labels", labels, "--pictures", 0)[0] == 0
    assert (tmp_path / "out/findings.csv").read_bytes() == again


def test_audit_of_the_caches_own_labels_and_of_some_sequences(tiny_cache: Path, tmp_path: Path) -> None:
    status, output = run("audit", tiny_cache, tmp_path / "out", "--sequences", "01", "--pictures", 0)
    assert status == 0, output
    with (tmp_path / "out/findings.csv").open() as file:
        assert {row["sequence"] for row in csv.DictReader(file)} <= {"01"}
    for words, says in (
        (("--sequences", "99"), "no sequence '99'"),
        (("--labels", tmp_path), "expected classes.txt and SEQUENCE/NAME.label"),
    ):
        status, output = run("audit", tiny_cache, tmp_path / "other", *words)
        assert status == 1
        assert says in output
    assert not (tmp_path / "other").exists()
    status, output = run("audit", tiny_cache, tiny_cache)
    assert status == 1
    assert "which this program did not write" in output


def test_spread_prints_its_quality_and_writes_a_picture(tiny_cache: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("00/000002\n01/000003\n")
    words = ("--labelled", tmp_path / "list.txt", "--workers", "0")
    status, output = run("spread", tiny_cache, tmp_path / "out", *words)
    assert status == 0, output
    assert f"spread labels: {tmp_path / 'out'} (2 labelled sweeps of 12)" in output
    assert "against the labels of 10 other sweeps" in output
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"spread.json", "quality.json", "quality.png"}
    assert run("spread", tiny_cache, tmp_path / "out", *words)[0] == 0
    (tmp_path / "wrong.txt").write_text("00/000099\n")
    status, output = run("spread", tiny_cache, tmp_path / "new", "--labelled", tmp_path / "wrong.txt")
    assert status == 1
    assert "no sweep '00/000099'" in output
    status, output = run("spread", tiny_cache, tmp_path / "new", *words, "--set", "reach_m=-1")
    assert status == 1
    assert "reach_m must be at least 0.05" in output
    assert not (tmp_path / "new").exists()
