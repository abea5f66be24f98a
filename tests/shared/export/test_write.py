"""Exports: complete sequences are kept, what has changed is written again, folders of others are refused."""

import json
from pathlib import Path

import pytest

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.own import OwnFolder
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.export.target import ExportOptions, Target, all_targets, find_target
from iscc_lidar.shared.export.write import RECORD_FILE, export_cache


def noting(written: list[str], stop_at: str = "") -> Target:
    """Make a target that notes which sequences it writes, and stops at one."""

    def write_sequence(cache: Cache, sequence: str, folder: OwnFolder, options: ExportOptions) -> int:
        if sequence == stop_at:
            raise KeyboardInterrupt
        written.append(sequence)
        folder.write(f"{sequence}.txt", cache.sequence_names[0].encode())
        return 1

    def finish(cache: Cache, folder: OwnFolder, options: ExportOptions) -> int:
        folder.write("index.txt", " ".join(written).encode())
        return 1

    return Target("noting", "notes", write_sequence, finish)


def test_an_interrupted_export_goes_on_with_what_is_left(tiny_cache: Path, tmp_path: Path):
    cache, written = Cache(tiny_cache), list[str]()
    names = list(cache.sequence_names)
    assert len(names) > 1
    with pytest.raises(KeyboardInterrupt):
        export_cache(cache, tmp_path / "out", noting(written, stop_at=names[-1]), ExportOptions())
    assert not (tmp_path / "out/index.txt").exists()
    assert export_cache(cache, tmp_path / "out", noting(written), ExportOptions()) == 2
    assert written == names
    assert export_cache(cache, tmp_path / "out", noting(written), ExportOptions()) == 1
    assert written == names, "nothing is written twice"


def test_a_sequence_that_is_another_now_is_written_again(tiny_cache: Path, tmp_path: Path):
    cache, written = Cache(tiny_cache), list[str]()
    export_cache(cache, tmp_path / "out", noting(written), ExportOptions())
    record = json.loads((tmp_path / "out" / RECORD_FILE).read_text())
    record[cache.sequence_names[0]] = "0" * 64
    (tmp_path / "out" / RECORD_FILE).write_text(json.dumps(record))
    written.clear()
    export_cache(cache, tmp_path / "out", noting(written), ExportOptions())
    assert written == [cache.sequence_names[0]]


def test_other_names_of_classes_are_another_export_wherever_their_file_lies(tiny_cache: Path, tmp_path: Path):
    cache, written = Cache(tiny_cache), list[str]()
    for name, content, expected in (("a", "one", 2), ("b", "one", 0), ("b", "two", 2)):
        (tmp_path / name).write_text(content)
        written.clear()
        export_cache(cache, tmp_path / "out", noting(written), ExportOptions(classes=tmp_path / name))
        assert len(written) == expected


def test_folders_of_another_target_are_refused(tiny_cache: Path, tmp_path: Path):
    export_cache(Cache(tiny_cache), tmp_path / "out", noting([]), ExportOptions())
    with pytest.raises(UserError, match="contains labels for noting, not labels for semantickitti"):
        export_cache(Cache(tiny_cache), tmp_path / "out", find_target("semantickitti"), ExportOptions())


def test_targets_are_found_by_their_names():
    for target in all_targets():
        assert find_target(target.name) == target
        assert target.description
    with pytest.raises(UserError, match=r"--to kitty: expected one of .*semantickitti"):
        find_target("kitty")
