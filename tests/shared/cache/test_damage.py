"""Every type of damage to every type of file: verify names the file, and no reader takes it for labels."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from iscc_lidar.data_schemas.arrays import BLOCK_ARRAYS
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.block import Block
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.verify import remove_damaged, verify_cache

FLIPS = 10
Damage = Callable[[bytes], bytes]


def flip(position: float, bit: int) -> Damage:
    def damage(data: bytes) -> bytes:
        place = int(position * len(data))
        return data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :]

    return damage


def damages() -> Iterator[tuple[str, Damage]]:
    rng = np.random.default_rng(0)
    for trial in range(FLIPS):
        yield "flip", flip(float(rng.random()), trial % 8)
    for share in (0.1, 0.5, 0.9):
        yield "truncated", lambda data, share=share: data[: int(share * len(data))]
    yield "truncated", lambda data: data[:-1]
    yield "emptied", lambda data: b""
    yield "zeroed", lambda data: bytes(len(data))


def kind_of(name: str) -> str:
    """manifest.json, block.json, a table, a group's or an array's metadata, an array's chunks."""
    parts = Path(name).parts
    return "chunks" if "c" in parts else "metadata" if parts[-1] == "zarr.json" else parts[-1]


def files_of(cache: Path) -> list[str]:
    found = (path.relative_to(cache).as_posix() for path in cache.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.startswith("."))


Content = dict[tuple[str, int], dict[str, np.ndarray]]


def everything(cache: Path, block: str | None = None) -> Content:
    """All that a reader can read of each sweep, or of those of one block; opened again."""
    held = Cache(cache)
    found: Content = {}
    for sequence in held.manifest.sequences:
        for entry in sequence.blocks:
            if block in (None, entry.path):
                opened = Block(held.store, sequence.name, entry)
                for index in range(entry.start, entry.stop):
                    arrays = {s.name: opened.rows(s.name, index) for s in BLOCK_ARRAYS if s.name in opened.array_names}
                    groups = {f"group {name}": value for name, value in vars(opened.groups(index)).items()}
                    pose = {"pose": opened.sweep(index).world_SE3_sensor}
                    labels = opened.boxes(index), opened.camera(index)
                    boxes = {f"box {name}": np.asarray(value) for held in labels for name, value in vars(held).items()}
                    found[sequence.name, index] = arrays | groups | pose | boxes
    return found


def is_detected_or_harmless(cache: Path, whole: Content, block: str | None, name: str) -> bool:
    """Whether reading what a file may have spoilt gives a message with its path, or what is right."""
    try:
        read = everything(cache, block)
    except UserError as error:
        return f"{cache}/{block}" in str(error) if block else name in str(error)
    expected = {key: value for key, value in whole.items() if block is None or key in read}
    return same(read, expected)


def same(a: Content, b: Content) -> bool:
    return a.keys() == b.keys() and all(
        a[key].keys() == b[key].keys() and all(np.array_equal(a[key][name], b[key][name]) for name in a[key])
        for key in a
    )


def is_reported(cache: Path, name: str) -> bool:
    try:
        return any(str(problem).startswith(f"{cache}/{name}: ") for problem in verify_cache(cache))
    except UserError as error:
        return name == "manifest.json" and f"{cache}/{name}" in str(error)


@pytest.fixture
def copy(tiny_cache: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_cache, tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def whole(tiny_cache: Path) -> Content:
    return everything(tiny_cache)


def block_of(cache: Path, name: str) -> str | None:
    return "/".join(Path(name).parts[:3]) if name.startswith("sequences/") else None


@pytest.mark.parametrize("every", [12, pytest.param(1, marks=pytest.mark.slow)])
def test_damage_to_any_file_is_named_and_never_read(
    copy: Path, whole: Content, every: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each type of damage to each type of file; to each file, every twelfth of them, or all."""
    tried: dict[str, int] = {}
    silent: list[str] = []
    for number, name in enumerate(files_of(copy)):
        block = block_of(copy, name)
        if block is not None and "block_0000" not in block:
            continue  # the others are as the first
        content = (copy / name).read_bytes()
        for what, damage in itertools.islice(damages(), number % every, None, every):
            damaged = damage(content)
            (copy / name).write_bytes(damaged)
            tried[kind_of(name)] = tried.get(kind_of(name), 0) + 1
            if damaged != content and not (
                is_reported(copy, name) and is_detected_or_harmless(copy, whole, block, name)
            ):
                silent.append(f"{name}: {what}")
        (copy / name).unlink()
        gone = block is None or is_reported(copy, name)
        if not (gone and (is_detected_or_harmless(copy, whole, block, name) or name == "manifest.json")):
            silent.append(f"{name}: missing")
        (copy / name).write_bytes(content)
    assert verify_cache(copy) == []
    with capsys.disabled():
        print(f"\ncorruptions tried: {sum(tried.values())} ({tried}), silent: {len(silent)}")
    assert silent == [], silent
    assert len(tried) == 7
    assert sum(tried.values()) > 700 // every


@pytest.mark.parametrize("most", [6, pytest.param(60, marks=pytest.mark.slow)])
def test_files_in_each_others_places_are_named_and_never_read(
    copy: Path, whole: Content, most: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file of the same type from another block or array is valid in itself: only an outer checksum detects it."""
    by_kind: dict[str, list[str]] = {}
    for name in files_of(copy):
        by_kind.setdefault(kind_of(name), []).append(name)
    rng = np.random.default_rng(1)
    tried, silent = 0, []
    for names in by_kind.values():
        pairs = [
            pair
            for pair in itertools.combinations(names, 2)
            if (copy / pair[0]).read_bytes() != (copy / pair[1]).read_bytes()
        ]
        for k in rng.permutation(len(pairs))[:most].tolist():
            a, b = (copy / name for name in pairs[k])
            contents = a.read_bytes(), b.read_bytes()
            a.write_bytes(contents[1])
            b.write_bytes(contents[0])
            tried += 1
            for name in pairs[k]:
                if not (is_reported(copy, name) and is_detected_or_harmless(copy, whole, block_of(copy, name), name)):
                    silent.append(f"{pairs[k]}")
            a.write_bytes(contents[0])
            b.write_bytes(contents[1])
    with capsys.disabled():
        print(f"\nswaps tried: {tried}, silent: {len(silent)}")
    assert silent == []
    assert tried > 2.5 * most


def test_foreign_files_and_blocks_are_found(copy: Path) -> None:
    block = Cache(copy).sequence("00").blocks[0].path
    for name in ("notes.txt", f"{block}/notes.txt", "sequences/00/block_0007/block.json"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("mine")
        assert [str(problem) for problem in verify_cache(copy)] == [f"{copy}/{name}: does not belong here"]
        left = remove_damaged(copy, verify_cache(copy))
        if name.endswith("notes.txt"):
            assert left == [name]
            assert (copy / name).read_text() == "mine"
            (copy / name).unlink()
        else:
            assert left == []
        assert verify_cache(copy) == []


def test_blocks_in_each_others_places_are_found(copy: Path, tmp_path: Path) -> None:
    first, second = (copy / entry.path for entry in Cache(copy).sequence("00").blocks[:2])
    first.rename(tmp_path / "aside")
    second.rename(first)
    (tmp_path / "aside").rename(second)
    assert len(verify_cache(copy)) == 2
    for index in range(Cache(copy).sequence("00").blocks[1].stop):
        with pytest.raises(UserError, match=r"block\.json: damaged"):
            Cache(copy).sweep("00", index)


def test_manifests_of_another_kind_are_refused(copy: Path) -> None:
    manifest = copy / "manifest.json"
    for text, expected in [
        ("[]", "its format is"),
        ('{"format": "recipes"}', "its format is 'recipes'"),
        ("", "not JSON"),
    ]:
        manifest.write_text(text)
        with pytest.raises(UserError, match=expected):
            Cache(copy)
