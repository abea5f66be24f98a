"""Scenes exported for OpenSceneFlow, read back as its loader does: by the index, from HDF5 groups named by time."""

from __future__ import annotations

import csv
import pickle
import pickletools
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.export import opensceneflow
from iscc_lidar.shared.export.opensceneflow import TARGET
from iscc_lidar.shared.export.target import ExportOptions
from iscc_lidar.shared.export.write import export_cache

from caches import files_below, with_column, with_manifest

RUSSIAN = "улица 1"
PLAIN_OPCODES = {"PROTO", "FRAME", "EMPTY_LIST", "MARK", "MEMOIZE", "APPENDS", "APPEND", "STOP", "BINGET"}
PLAIN_OPCODES |= {"SHORT_BINUNICODE", "BINUNICODE", "LONG_BINGET"}


@pytest.fixture
def h5py() -> Any:
    return pytest.importorskip("h5py", reason="h5py is not installed")


def index_of(out: Path) -> list[list[str]]:
    """Read the index, after a look at what the pickle does: it builds lists of texts and nothing else."""
    content = (out / "index_total.pkl").read_bytes()
    assert {opcode.name for opcode, _, _ in pickletools.genops(content)} <= PLAIN_OPCODES
    found: list[list[str]] = pickle.loads(content)  # noqa: S301
    return found


def times_of(cache: Cache, sequence: str) -> list[int]:
    return [time for block in cache.blocks(sequence) for time in block.sweeps["timestamp_ns"].to_pylist()]


def clusters_of(out: Path, sequence: str, first_sweep: int = 0) -> dict[int, int]:
    with (out / f"groups/{sequence}.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if int(row["first_sweep"]) == first_sweep]
    return {int(row["cluster"]): int(row["group"]) for row in rows}


def check(scene: Any, cache: Cache, sequence: str, index: int, group_of: dict[int, int]) -> None:
    sweep, groups = cache.sweep(sequence, index), cache.groups(sequence, index)
    (key,) = (key for key in scene if int(key) == times_of(cache, sequence)[index])
    read = {name: array[:] for name, array in scene[key].items()}
    types = {name: (array.dtype.name, array.shape) for name, array in read.items()}
    n = len(sweep.label)
    assert types == {
        "lidar": ("float32", (n, 4)),
        "pose": ("float64", (4, 4)),
        "ground_mask": ("bool", (n,)),
        "cluster": ("int16", (n,)),
        "dufocluster": ("int16", (n,)),
        "dufo": ("uint8", (n,)),
        "nnd": ("uint8", (n,)),
    }
    np.testing.assert_array_equal(read["lidar"], np.column_stack([sweep.xyz, sweep.intensity]))
    np.testing.assert_array_equal(read["pose"], sweep.world_SE3_sensor)
    np.testing.assert_array_equal(read["ground_mask"], np.isin(sweep.label, (-2, -3)))
    known = group_of | {0: -1}
    assert [known[number] for number in read["cluster"].tolist()] == np.maximum(sweep.label, -1).tolist()
    moves = np.isin(sweep.label, groups.group[groups.moving])
    np.testing.assert_array_equal(read["dufo"] == 1, moves)
    np.testing.assert_array_equal(read["nnd"], read["dufo"])
    np.testing.assert_array_equal(read["dufocluster"], np.where(moves, read["cluster"], 0))


def test_scenes_come_back_and_moving_clusters_have_the_lowest_numbers(
    h5py: Any, tiny_cache: Path, tmp_path: Path
) -> None:
    def rename(manifest: Any) -> None:
        manifest["sequences"][1] |= {"name": RUSSIAN, "tracks": []}  # without boxes, as before 2.1

    cache, out = Cache(with_manifest(tiny_cache, tmp_path / "cache", rename)), tmp_path / "out"
    assert export_cache(cache, out, TARGET, ExportOptions()) == 5
    index = index_of(out)
    assert [scene for scene, _ in index] == ["00"] * 6 + [RUSSIAN] * 6
    for sequence in ("00", RUSSIAN):
        times = [time for scene, time in index if scene == sequence]
        assert [int(time) for time in times] == times_of(cache, sequence)
        assert times == sorted(times), "as texts, too"
        with h5py.File(out / f"{sequence}.h5", "r") as scene:
            assert list(scene) == times
            for k in range(6):
                check(scene, cache, sequence, k, clusters_of(out, sequence))
        moving = cache.moving_groups(sequence).tolist()
        assert [clusters_of(out, sequence)[number] for number in range(1, len(moving) + 1)] == moving
    export_cache(cache, tmp_path / "again", TARGET, ExportOptions())
    assert files_below(tmp_path / "again") == files_below(out)


def test_more_groups_than_the_type_holds_are_numbered_in_parts(
    h5py: Any, tiny_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, out = Cache(tiny_cache), tmp_path / "out"
    most = max(len(cache.groups(name, index).group) for name in ("00", "01") for index in range(6))
    monkeypatch.setattr(opensceneflow, "_MAX_CLUSTER", most)
    export_cache(cache, out, TARGET, ExportOptions())
    with (out / "groups/00.csv").open() as file:
        starts = sorted({int(row["first_sweep"]) for row in csv.DictReader(file)})
    assert len(starts) > 1
    with h5py.File(out / "00.h5", "r") as scene:
        for k in range(6):
            check(scene, cache, "00", k, clusters_of(out, "00", max(start for start in starts if start <= k)))


def test_sweeps_without_points_to_use_and_sequences_without_pairs_are_left_out(
    h5py: Any, tiny_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, used = Cache(tiny_cache), opensceneflow._used_sweeps
    assert list(used(cache, "00")) == list(range(6))

    def few(cache: Cache, sequence: str) -> dict[int, str]:
        return {k: time for k, time in used(cache, sequence).items() if k in ((1, 4) if sequence == "00" else (2,))}

    monkeypatch.setattr(opensceneflow, "_used_sweeps", few)
    assert export_cache(cache, tmp_path / "out", TARGET, ExportOptions()) == 3
    assert index_of(tmp_path / "out") == [["00", time] for time in few(cache, "00").values()]
    assert not (tmp_path / "out/01.h5").exists()
    with h5py.File(tmp_path / "out/00.h5", "r") as scene:
        assert list(scene) == list(few(cache, "00").values())


def test_sweeps_of_ground_and_ignored_points_alone_are_not_used() -> None:
    columns = {
        "sweep": [0, 1, 2, 3],
        "timestamp_ns": [0, 5, 10**18, 2**62],
        "grouped": [1, 0, 0, 9],
        "noise": [0, 0, 2, 9],
    }
    cache: Any = SimpleNamespace(path="c", blocks=lambda _: [SimpleNamespace(sweeps=pa.table(columns))])
    used = opensceneflow._used_sweeps(cache, "00")
    assert used == {0: "0000000000000000000", 2: "1000000000000000000", 3: "4611686018427387904"}


@pytest.mark.parametrize("times", [[7, 7], [8, 7], [-1, 7], [2**62, -(2**63)]])
def test_times_that_do_not_ascend_from_zero_are_refused(
    h5py: Any, tiny_cache: Path, tmp_path: Path, times: list[int]
) -> None:
    cache = Cache(with_column(tiny_cache, tmp_path / "cache", "00", "timestamp_ns", times))
    with pytest.raises(UserError, match="sequence 00: the times of its sweeps do not ascend from 0"):
        export_cache(cache, tmp_path / "out", TARGET, ExportOptions())
    assert not (tmp_path / "out").exists()


def test_without_h5py_the_error_says_how_to_install_it(
    tiny_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match=r'needs the package h5py, .*pip install "\.\[opensceneflow\]"'):
        export_cache(Cache(tiny_cache), tmp_path / "out", TARGET, ExportOptions())
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_one_line_and_leaves_no_scene(h5py: Any, tiny_cache: Path, tmp_path: Path) -> None:
    limit = 300_000  # bytes of a file; a scene has more
    program = textwrap.dedent(f"""
        import resource, sys
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
        from iscc_lidar.shared.cache_cli import app
        sys.argv = ["iscc-cache", "export", {str(tiny_cache)!r}, {str(tmp_path / "out")!r}, "--to", "opensceneflow"]
        app()
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = (line for line in done.stderr.splitlines() if line.strip() and "export to" not in line)
    assert "00.h5: File too large" in line
    assert [file.name for file in (tmp_path / "out").rglob("*") if "h5" in file.name] == []
