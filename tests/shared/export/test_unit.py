"""Segments exported for UNIT, read back as its data set of SemanticKITTI does: files by sorted names, int16."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.export import unit
from iscc_lidar.shared.export.target import ExportOptions
from iscc_lidar.shared.export.unit import TARGET
from iscc_lidar.shared.export.write import export_cache

from caches import files_below, with_column, with_manifest

RUSSIAN = "улица 1"


def segments(out: Path, sequence: str) -> list[Path]:
    """All that lies in the folder of a sequence, sorted as the reader sorts it."""
    return sorted((out / "assets/segments_gridsample" / sequence).iterdir())


def table(out: Path, sequence: str) -> dict[tuple[int, int], int]:
    with (out / f"groups/{sequence}.csv").open() as file:
        return {(int(r["part"]), int(r["instance"])): int(r["group"]) for r in csv.DictReader(file)}


def check(cache: Cache, out: Path, sequence: str) -> set[int]:
    """Compare all files of a sequence with the cache; return the parts."""
    files, group_of = segments(out, sequence), table(out, sequence)
    assert [file.name.split("_")[0] for file in files] == cache.sweep_names(sequence)
    parts = [int(file.stem.split("_")[-1]) for file in files]
    for index, (file, part) in enumerate(zip(files, parts, strict=True)):
        label, segment = cache.label(sequence, index), np.fromfile(file, "<i2")
        np.testing.assert_array_equal(segment == 0, label == -2)
        np.testing.assert_array_equal(segment == -1, (label == -1) | (label == -3))
        grouped = label >= 0
        assert [group_of[part, number] for number in segment[grouped].tolist()] == label[grouped].tolist()
    assert parts == sorted(parts)
    return set(parts)


def test_segments_come_back_and_numbers_are_stable(tiny_cache: Path, tmp_path: Path) -> None:
    def rename(manifest: Any) -> None:
        manifest["sequences"][1] |= {"name": RUSSIAN, "tracks": []}  # without boxes, as before 2.1

    cache = Cache(with_manifest(tiny_cache, tmp_path / "cache", rename))
    assert export_cache(cache, tmp_path / "out", TARGET, ExportOptions()) == 14
    for sequence in ("00", RUSSIAN):
        assert check(cache, tmp_path / "out", sequence) == {0}
    export_cache(cache, tmp_path / "again", TARGET, ExportOptions())
    assert files_below(tmp_path / "again") == files_below(tmp_path / "out")


def test_more_groups_than_the_type_holds_are_numbered_in_parts(
    tiny_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tiny_cache)
    most = max(len(cache.groups(name, index).group) for name in ("00", "01") for index in range(6))
    export_cache(cache, tmp_path / "out", TARGET, ExportOptions())
    monkeypatch.setattr(unit, "_MAX_INSTANCE", most)
    (tmp_path / "out/exported.json").unlink()  # as if the first export had been interrupted
    torn = tmp_path / "out/assets/segments_gridsample/00/.000001_0.seg.99.tmp"
    torn.touch()
    export_cache(cache, tmp_path / "out", TARGET, ExportOptions())
    parts = [check(cache, tmp_path / "out", sequence) for sequence in ("00", "01")]  # files of other names are gone
    assert max(map(len, parts)) > 1


@pytest.mark.parametrize("names", [["9", "10"], ["000001", "0000010"]])
def test_names_that_the_reader_would_sort_otherwise_are_refused(
    tiny_cache: Path, tmp_path: Path, names: list[str]
) -> None:
    cache = Cache(with_column(tiny_cache, tmp_path / "cache", "00", "name", names))
    with pytest.raises(UserError, match="sequence 00: names of its sweeps are not in the order of the sweeps"):
        export_cache(cache, tmp_path / "out", TARGET, ExportOptions())
    assert not (tmp_path / "out").exists()
