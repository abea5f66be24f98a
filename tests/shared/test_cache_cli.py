"""The commands as a user types them."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from iscc_lidar.shared.base.own import MARK_FILE
from iscc_lidar.shared.cache.label_fractions import read_list
from iscc_lidar.shared.cache.reader import Cache


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "iscc_lidar.shared.cache_cli", *(str(a) for a in arguments)]
    return subprocess.run(call, capture_output=True, text=True, check=False)


def test_info_prints_a_line_per_sequence(tiny_cache: Path) -> None:
    done = command("info", tiny_cache)
    assert done.returncode == 0
    assert "synthetic, 2 sequences" in done.stdout
    assert len(done.stdout.splitlines()) == 4


def test_verify_ends_with_one_on_damage(tiny_cache: Path, tmp_path: Path) -> None:
    assert command("verify", tiny_cache).returncode == 0
    copy = tmp_path / "copy"
    shutil.copytree(tiny_cache, copy)
    block = Cache(copy).sequence("01").blocks[1].path
    (copy / block / "groups.parquet").write_bytes(b"")
    done = command("verify", copy)
    assert done.returncode == 1
    assert f"{block}/groups.parquet: damaged" in done.stdout
    assert "see: iscc-cache verify --help" in done.stderr
    assert command("verify", copy, "--repair").returncode == 1
    assert not (copy / block).exists()


def test_show_draws_a_picture(tiny_cache: Path, tmp_path: Path) -> None:
    assert command("show", tiny_cache, "01", 2, "--out", tmp_path / "a.png").returncode == 0
    assert command("show", tiny_cache, "--out", tmp_path / "b.png").returncode == 0
    for name in ("a.png", "b.png"):
        data = (tmp_path / name).read_bytes()
        assert data.startswith(b"\x89PNG")
        assert len(data) > 20_000


def test_show_draws_a_moving_picture(tiny_cache: Path, tmp_path: Path) -> None:
    done = command("show", tiny_cache, "01", 1, "--out", tmp_path / "a.GIF", "--sweeps", 3)
    assert done.stdout == f"moving picture: {tmp_path / 'a.GIF'}\n"
    with Image.open(tmp_path / "a.GIF") as image:
        assert getattr(image, "n_frames", 1) == 3
    done = command("show", tiny_cache, "--out", tmp_path / "a.jpg")
    assert done.returncode == 1
    assert "expected .png, a picture of one sweep, or .gif" in done.stderr
    assert command("show", tiny_cache, "--out", tmp_path / "a.gif", "--sweeps", 201).returncode == 2


def test_export_gives_instances_that_map_back_to_groups(tiny_cache: Path, tmp_path: Path) -> None:
    assert command("export", tiny_cache, tmp_path / "out", "--to", "semantickitti").returncode == 0
    folder = tmp_path / "out" / "sequences" / "00"
    with (folder / "groups.csv").open() as file:
        group_of = {int(row["instance"]): int(row["group"]) for row in csv.DictReader(file)}
    for index in range(6):
        label = Cache(tiny_cache).sweep("00", index).label
        raw = np.fromfile(folder / "labels" / f"{index:06d}.label", "<u4")
        assert (raw & 0xFFFF == 0).all()
        groups = [group_of.get(instance, -1) for instance in (raw >> 16).tolist()]
        np.testing.assert_array_equal(groups, np.where(label >= 0, label, -1))
    mark = tmp_path / "out" / MARK_FILE
    key = Cache(tiny_cache).manifest.config_key
    mark.write_text(mark.read_text().replace(key, "0" * 64))  # as if another cache had been exported
    done = command("export", tiny_cache, tmp_path / "out", "--to", "semantickitti")
    assert done.returncode == 1
    assert f"of a cache with settings {'0' * 64}, not of a cache with settings {key}" in done.stderr


def test_fractions_are_nested_lists_of_the_cached_sweeps(tiny_cache: Path, tmp_path: Path) -> None:
    assert command("fractions", tiny_cache, tmp_path, "--percent", "20,50,100", "--seed", 3).returncode == 0
    cache = Cache(tiny_cache)
    known = {sequence: cache.sweep_names(sequence) for sequence in cache.sequence_names}
    few, half, every = (read_list(tmp_path / f"labels_{percent}.txt", known) for percent in (20, 50, 100))
    assert (len(few), len(half), len(every)) == (2, 6, 12)
    assert set(few) < set(half) < set(every)
    done = command("fractions", tiny_cache, tmp_path, "--percent", "some")
    assert done.returncode == 1
    assert "expected numbers separated by commas" in done.stderr


def test_mistakes_are_one_line_without_a_stack_trace(tiny_cache: Path, tmp_path: Path) -> None:
    for arguments, expected in [
        (("info", tmp_path), "no finished cache here"),
        (("show", tiny_cache, "77", 0), "no sequence '77'; there are 00, 01"),
        (("show", tiny_cache, "00", 99), "sequence 00 has sweeps 0 to 5, not 99"),
    ]:
        done = command(*arguments)
        assert done.returncode == 1
        assert expected in done.stderr
        assert "Traceback" not in done.stderr
