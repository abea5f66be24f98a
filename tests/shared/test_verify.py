"""Every kind of damage to every kind of file is found; none reads as labels."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from iscc_lidar.shared.cache_reader import Cache
from iscc_lidar.shared.errors import UserError
from iscc_lidar.shared.verify import verify_cache


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip, truncate, empty, Path.unlink])
def test_damage_to_any_file_of_a_block_is_found(
    tiny_cache: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    assert verify_cache(tiny_cache) == []
    block = "sequences/00/block_0000"
    files = [f.relative_to(tiny_cache) for f in (tiny_cache / block).rglob("*") if f.is_file()]
    assert len(files) > 15
    copy = tmp_path / "copy"
    shutil.copytree(tiny_cache, copy)
    for file in files:
        damage(copy / file)
        problems = verify_cache(copy)
        assert len(problems) == 1
        assert str(copy / file) in problems[0]
        shutil.copy(tiny_cache / file, copy / file)
    assert verify_cache(copy) == []


def test_foreign_and_swapped_files_are_found(tiny_cache: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_cache, copy)
    (copy / "sequences/00/block_0000/notes.txt").write_text("mine")
    assert "does not belong here" in verify_cache(copy)[0]
    (copy / "sequences/00/block_0000/notes.txt").unlink()
    a, b = copy / "sequences/00/block_0000", copy / "sequences/00/block_0001"
    a.rename(tmp_path / "a")
    b.rename(a)
    (tmp_path / "a").rename(b)
    assert len(verify_cache(copy)) == 2


def test_a_flipped_bit_in_labels_is_never_read_as_a_label(tiny_cache: Path, tmp_path: Path) -> None:
    """Without verify, too: the chunks carry checksums of their own."""
    shard = "sequences/00/block_0000/arrays.zarr/label/c/0"
    size = (tiny_cache / shard).stat().st_size
    for trial, position in enumerate(np.random.default_rng(0).integers(0, size, 40).tolist()):
        copy = tmp_path / str(trial)  # a block that is open stays open: each trial has a path of its own
        shutil.copytree(tiny_cache / "sequences/00/block_0000", copy / "sequences/00/block_0000")
        shutil.copy(tiny_cache / "manifest.json", copy)
        data = bytearray((copy / shard).read_bytes())
        data[position] ^= 1 << (trial % 8)
        (copy / shard).write_bytes(bytes(data))
        assert_refused_or_right(Cache(copy), Cache(tiny_cache))


def assert_refused_or_right(damaged: Cache, whole: Cache) -> None:
    for index in (0, 1):
        try:
            read = damaged.sweep("00", index).label
        except UserError:
            continue
        np.testing.assert_array_equal(read, whole.sweep("00", index).label)


def test_manifests_of_another_kind_or_version_are_refused(tiny_cache: Path, tmp_path: Path) -> None:
    text = (tiny_cache / "manifest.json").read_text()
    for changed, says in [
        (text.replace('"1.1"', '"2.0"'), "format version is 2.0"),
        (text.replace("iscc-lidar-cache", "recipes"), "its format is 'recipes'"),
        (text[:-20], "not a manifest"),
        ("[]", "not a manifest"),
    ]:
        (tmp_path / "manifest.json").write_text(changed)
        with pytest.raises(UserError, match=says):
            Cache(tmp_path)
    (tmp_path / "manifest.json").write_text(text.replace('"1.1"', '"1.7"').replace('"dataset"', '"new": 1, "dataset"'))
    assert Cache(tmp_path).sequence_names == ("00", "01")
