"""A cache of format 2.0 gains boxes; all else stays, byte for byte, also where the upgrade is interrupted."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from iscc_lidar.api.cache_cli import app
from iscc_lidar.data_schemas.manifest import MANIFEST_FILE, from_json, to_json
from iscc_lidar.preprocess.run.executor import Executor
from iscc_lidar.preprocess.run.upgrade import upgrade_cache
from iscc_lidar.preprocess.track import sequence as track_sequence_module
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.verify import verify_cache
from iscc_lidar.shared.store.open import open_store

from make_golden import GOLDEN, read


@pytest.fixture
def old(tmp_path: Path) -> Path:
    shutil.copytree(GOLDEN / "2.0", tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def stripped(tiny_cache: Path, tmp_path: Path) -> Path:
    """A cache without its boxes, as if it were of format 2.0."""
    shutil.copytree(tiny_cache, tmp_path / "cache")
    manifest = from_json((tiny_cache / MANIFEST_FILE).read_text())
    for entry in (tracks for sequence in manifest.sequences for tracks in sequence.tracks):
        shutil.rmtree(tmp_path / "cache" / entry.path)
    sequences = tuple(replace(sequence, tracks=()) for sequence in manifest.sequences)
    (tmp_path / "cache" / MANIFEST_FILE).write_text(to_json(replace(manifest, sequences=sequences)))
    return tmp_path / "cache"


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.relative_to(folder).parts[0].startswith(".")
    }


def test_what_2_0_has_stays_and_boxes_are_added(old: Path) -> None:
    before, reads_as = files_of(old), read(old)
    assert Cache(old).group_boxes("00", 0) is None
    assert upgrade_cache(open_store(old)) == 1
    after = files_of(old)
    assert {name for name in before if after[name] != before[name]} == {MANIFEST_FILE}
    assert all("/tracks_" in name for name in after.keys() - before.keys())
    assert read(old) == reads_as
    assert verify_cache(old) == []
    assert json.loads((old / MANIFEST_FILE).read_text())["version"] == "2.1"
    boxes, groups = Cache(old).group_boxes("00", 1), Cache(old).groups("00", 1)
    assert boxes is not None
    assert np.array_equal(boxes.group, groups.group)
    assert upgrade_cache(open_store(old)) == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_upgraded_is_the_same_as_preprocessed_with_any_number_of_workers(
    stripped: Path, tiny_cache: Path, workers: int
) -> None:
    upgrade_cache(open_store(stripped), Executor(workers=workers))
    assert files_of(stripped) == files_of(tiny_cache)


def test_an_interrupted_upgrade_leaves_the_cache_as_it_was(stripped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files_of(stripped)
    write, written = track_sequence_module.write_tracks, []

    def fail_at_the_second(*arguments: object) -> str:
        if written:
            raise OSError(28, "No space left on device")
        written.append(1)
        return write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(track_sequence_module, "write_tracks", fail_at_the_second)
    with pytest.raises(OSError, match="No space left"):
        upgrade_cache(open_store(stripped))
    assert {name: files_of(stripped)[name] for name in before} == before
    assert Cache(stripped).group_boxes(Cache(stripped).sequence_names[0], 0) is None
    monkeypatch.undo()
    assert upgrade_cache(open_store(stripped)) > 0
    assert verify_cache(stripped) == []


def test_a_folder_without_a_cache_is_named_and_left_alone(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished cache here"):
        upgrade_cache(open_store(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_block_is_named(old: Path) -> None:
    next(old.glob("sequences/*/*/groups.parquet")).write_bytes(b"x")
    with pytest.raises(UserError, match=r"groups\.parquet: damaged"):
        upgrade_cache(open_store(old))


def test_command_says_what_it_did(old: Path) -> None:
    first, again = (CliRunner().invoke(app, ["upgrade", str(old), "--workers", "0"]) for _ in range(2))
    assert first.exit_code == again.exit_code == 0
    assert "boxes added to the groups of 1 sequence" in first.output
    assert "lacks nothing" in again.output


def test_boxes_of_another_block_are_refused(old: Path) -> None:
    upgrade_cache(open_store(old))
    manifest = from_json((old / MANIFEST_FILE).read_text())
    (sequence,) = manifest.sequences
    swapped = (replace(sequence.tracks[0], path=sequence.tracks[1].path, digest=sequence.tracks[1].digest),)
    rest = (replace(sequence.tracks[1], path=sequence.tracks[0].path, digest=sequence.tracks[0].digest),)
    entry = replace(sequence, tracks=swapped + rest + sequence.tracks[2:])
    (old / MANIFEST_FILE).write_text(to_json(replace(manifest, sequences=(entry,))))
    with pytest.raises(UserError, match="tracks"):
        Cache(old).group_boxes("00", 0)
