"""Forged caches, their digests right: a named error, never another exception and never large memory."""

from __future__ import annotations

import copy as copies
import hashlib
import json
import os
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

from iscc_lidar.data_schemas import manifest as manifests
from iscc_lidar.data_schemas import tables
from iscc_lidar.data_schemas.arrays import BLOCK_ARRAYS
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.block import Block
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.verify import verify_cache

from caches import sign, sign_manifest, write_manifest

LARGE_KB = 400_000
Forge = Callable[[Path], None]


@pytest.fixture
def copy(tiny_cache: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_cache, tmp_path / "cache")
    return tmp_path / "cache"


def block_of(cache: Path) -> Path:
    return cache / Cache(cache).sequence("00").blocks[0].path


def folder_of(cache: Path, file: str) -> Path:
    """The first folder with a table of this name."""
    entry = Cache(cache).sequence("00")
    return cache / (entry.tracks if file == "tracks.parquet" else entry.blocks)[0].path


def read_everything(cache: Path) -> None:
    """Read all that a program can of the first block; opened anew, so that nothing is kept of the block before."""
    opened = Cache(cache)
    for sequence in opened.manifest.sequences[:1]:
        entry = sequence.blocks[0]
        block = Block(opened.store, sequence.name, entry, max(1, len(opened.manifest.class_names)))
        for index in range(entry.start, entry.stop):
            block.sweep(index)
            block.groups(index)
            block.boxes(index)
            block.camera(index)
        for entry in sequence.tracks[:1]:
            for index in range(entry.start, entry.stop):
                opened.group_boxes(sequence.name, index)
    verify_cache(cache)


def outcome(cache: Path) -> str:
    """ "read", or the message of the UserError; any other exception fails the test."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    try:
        read_everything(cache)
        found = "read"
    except UserError as error:
        found = str(error)
    assert "\n" not in found
    assert "\x1b" not in found
    assert time.monotonic() - began < 20
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < LARGE_KB, f"{grown} kB: {found}"
    return found


def columns(name: str, data_type: pa.DataType, rows: int) -> Iterator[tuple[str, pa.Array]]:
    """Other contents of a column of this type."""
    yield "text", pa.array(["x\x1b[31m"] * rows)
    if not pa.types.is_struct(data_type):  # Arrow does not write those
        yield "null", pa.nulls(rows, data_type)
    yield "double", pa.array([1e300] * rows)
    if pa.types.is_integer(data_type):
        for value in (-1, -(2**31), 2**31 - 1):
            yield f"{value}", pa.array([value] * rows, data_type)
        yield "int64", pa.array([2**62] * rows, pa.int64())
    if pa.types.is_string(data_type):
        for text in ("../../x", "/etc/passwd", "", "a\nb", "..", "x" * 5000, "same"):
            yield repr(text[:12]), pa.array([text] * rows)
    if pa.types.is_fixed_size_list(data_type):
        for value in (np.nan, np.inf, 1e160):
            yield f"{value}", pa.array([[value] * data_type.list_size] * rows, data_type)
        yield "short", pa.array([[0.0]] * rows, pa.list_(pa.float64()))
        yield "long", pa.array([[0.0] * 100] * rows, pa.list_(pa.float64()))
    if pa.types.is_struct(data_type):
        yield "empty", pa.array([{"a": 1}] * rows)


def rewrite(block: Path, file: str, table: pa.Table) -> None:
    pq.write_table(table, block / file)


@pytest.mark.parametrize("file", ["sweeps.parquet", "groups.parquet", "boxes.parquet", "tracks.parquet"])
def test_columns_dropped_retyped_or_out_of_range_are_named(copy: Path, file: str) -> None:
    schema = getattr(tables, file.removesuffix(".parquet").upper())
    block = folder_of(copy, file)
    whole = pq.ParquetFile(block / file).read()
    tried, read = 0, []
    for number, field in enumerate(schema):
        forgeries = {"dropped": whole.remove_column(number), "twice": whole.append_column(field, whole[field.name])}
        for what, column in columns(field.name, field.type, whole.num_rows):
            forgeries[what] = whole.set_column(number, field.name, column)
        for what, table in forgeries.items():
            rewrite(block, file, table)
            sign(copy, block)
            found = outcome(copy)
            tried += 1
            if found == "read":
                read.append(f"{field.name}: {what}")
            else:
                assert f"{block}/" in found, found
    assert tried > 30
    harmless = {"timestamp_ns", "camera", "points", "group", "moving", "heading", "truncation", "occlusion", "kind"}
    harmless |= {"image_box"} if file == "boxes.parquet" else set()
    assert {text.split(":")[0] for text in read} <= harmless, read


@pytest.mark.parametrize("file", ["sweeps.parquet", "groups.parquet", "boxes.parquet", "tracks.parquet"])
def test_rows_repeated_lost_or_in_another_order_are_named(copy: Path, file: str) -> None:
    block = folder_of(copy, file)
    whole = pq.ParquetFile(block / file).read()
    for table in (pa.concat_tables([whole, whole]), whole.slice(0, 0), whole.take(list(range(whole.num_rows))[::-1])):
        rewrite(block, file, table)
        sign(copy, block)
        assert outcome(copy) != "read" or (file == "boxes.parquet" and table.num_rows == 0)


def test_the_id_of_a_group_asks_for_no_gigabytes(copy: Path) -> None:
    block = block_of(copy)
    whole = pq.ParquetFile(block / "groups.parquet").read()
    ids = [*whole["group"].to_pylist()[:-1], 2**31 - 1]
    place = whole.column_names.index("group")
    rewrite(block, "groups.parquet", whole.set_column(place, "group", pa.array(ids, pa.int32())))
    sign(copy, block)
    assert "a group's id is above 4194304" in outcome(copy)


def test_a_small_table_does_not_ask_for_gigabytes(copy: Path) -> None:
    block = block_of(copy)
    whole = pq.ParquetFile(block / "groups.parquet").read()
    rows = 40_000_000
    one = pa.array(np.zeros(rows, np.int32))
    table = pa.table({"sweep": one, "group": one, "points": one, "moving": pa.array(np.zeros(rows, bool))})
    del one
    pq.write_table(table, block / "groups.parquet", compression="zstd")
    del table
    assert (block / "groups.parquet").stat().st_size < 1_000_000
    sign(copy, block)
    assert "bytes cannot contain" in outcome(copy)
    sweeps = pq.ParquetFile(block / "sweeps.parquet").read()
    poses = pa.array([[0.0] * 30_000_000] + [[0.0]] * (sweeps.num_rows - 1), pa.list_(pa.float64()))
    place = sweeps.column_names.index("world_SE3_sensor")
    pq.write_table(sweeps.set_column(place, "world_SE3_sensor", poses), block / "sweeps.parquet", compression="zstd")
    del poses
    rewrite(block, "groups.parquet", whole)
    sign(copy, block)
    assert "bytes cannot contain" in outcome(copy)


def metadata_forgeries(content: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Other contents of an array's zarr.json."""
    for key in ("shape", "data_type", "chunk_grid", "chunk_key_encoding", "codecs", "zarr_format", "node_type"):
        for what, value in (("dropped", None), ("text", "x"), ("number", 7), ("list", []), ("object", {})):
            forged = copies.deepcopy(content)
            if value is None:
                del forged[key]
            else:
                forged[key] = value
            yield f"{key} {what}", forged
    rows = content["shape"][-1]
    for what, path, value in (
        ("more rows", ["shape", -1], 2**40),
        ("negative rows", ["shape", -1], -1),
        ("fewer rows", ["shape", -1], rows // 2),
        ("giant chunk", ["chunk_grid", "configuration", "chunk_shape", -1], 2**40),
        ("no chunk", ["chunk_grid", "configuration", "chunk_shape", -1], 0),
        ("giant inner chunk", ["codecs", 0, "configuration", "chunk_shape", -1], 2**31),
        ("tiny inner chunk", ["codecs", 0, "configuration", "chunk_shape", -1], 1),
        ("codec", ["codecs", 0, "configuration", "codecs", 1, "name"], "numcodecs.pickle"),
        ("codec of another size", ["codecs", 0, "configuration", "codecs", 0, "name"], "zstd"),
    ):
        forged = copies.deepcopy(content)
        place: Any = forged
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        yield what, forged


@pytest.mark.parametrize("name", ["xyz", "label", "semantic", "query_kind"])
def test_metadata_of_arrays_that_disagree_are_named(copy: Path, name: str) -> None:
    block = block_of(copy)
    file = block / "arrays.zarr" / name / "zarr.json"
    whole = json.loads(file.read_text())
    for what, forged in metadata_forgeries(whole):
        file.write_text(json.dumps(forged))
        sign(copy, block)
        assert f"{block}/" in outcome(copy), what
    for text in ("[]", "null", "{", "[" * 100_000, '{"a": 1, "a": 2}', ""):
        file.write_text(text)
        sign(copy, block)
        assert f"{block}/" in outcome(copy), text[:20]


@pytest.mark.parametrize("compressor", ["zstd", "blosc"])
def test_a_chunk_does_not_decode_to_gigabytes(copy: Path, compressor: str) -> None:
    from numcodecs.blosc import Blosc
    from numcodecs.zstd import Zstd

    block = block_of(copy)
    codec = {"zstd": Zstd(1), "blosc": Blosc("zstd")}[compressor]
    bomb = codec.encode(np.zeros(1_500_000_000, np.uint8))
    name = {"zstd": "label", "blosc": "xyz"}[compressor]
    shutil.rmtree(block / "arrays.zarr" / name)
    rows = int(pq.ParquetFile(block / "sweeps.parquet").read(["points"])["points"].to_numpy().sum())
    planes = (3,) if name == "xyz" else ()
    names = {"zstd": zarr.codecs.ZstdCodec(), "blosc": zarr.codecs.BloscCodec()}
    group = zarr.open_group(block / "arrays.zarr", mode="a")
    array = group.create_array(
        name,
        shape=(*planes, rows),
        dtype={"label": "int32", "xyz": "int16"}[name],
        chunks=(*planes, rows),
        compressors=[names[compressor]],
        config={"write_empty_chunks": True},
    )
    array[...] = 1
    chunk = block / "arrays.zarr" / name / ("c/0/0" if planes else "c/0")
    assert chunk.is_file()
    chunk.write_bytes(bomb)
    sign_all(copy, block)
    assert "decodes to 1500000000 bytes" in outcome(copy)


def sign_all(cache: Path, block: Path) -> None:
    listed = json.loads((block / "block.json").read_text())
    found = (path.relative_to(block).as_posix() for path in block.rglob("*") if path.is_file())
    listed["files"] = dict.fromkeys(sorted(set(found) - {"block.json"}), "")
    (block / "block.json").write_text(json.dumps(listed))
    sign(cache, block)


def test_values_out_of_range_are_named(copy: Path) -> None:
    """The rows' checksums are right, too."""
    block = block_of(copy)
    sweeps = pq.ParquetFile(block / "sweeps.parquet").read()
    for name, value in (("label", 2**31 - 1), ("label", -4), ("semantic", 77), ("query_kind", 9), ("query_source", -5)):
        shutil.copytree(block, copy.parent / "kept")
        spec = next(spec for spec in BLOCK_ARRAYS if spec.name == name)
        array = zarr.open_array(block / "arrays.zarr" / name, mode="r+")
        array[...] = np.full(array.shape, value, spec.dtype)
        rows = sweeps.to_pylist()
        for row in rows:
            from iscc_lidar.shared.cache.block import row_checksum

            row["crc32"][name] = row_checksum(np.full(row[spec.rows], value, spec.dtype))
        rewrite(block, "sweeps.parquet", pa.Table.from_pylist(rows, tables.SWEEPS))
        sign(copy, block)
        assert f"has values from {value} to {value}" in outcome(copy)
        shutil.rmtree(block)
        (copy.parent / "kept").rename(block)


def test_block_files_that_are_none_are_named(copy: Path) -> None:
    block = block_of(copy)
    whole = json.loads((block / "block.json").read_text())
    digest = "0" * 64
    for forged in (
        [],
        {},
        {"files": []},
        {"files": 7},
        {"files": {"sweeps.parquet": 7}},
        {"files": whole["files"] | {"../../../etc/passwd": digest}},
        {"files": whole["files"] | {"/etc/passwd": digest}},
        {"files": whole["files"] | {"arrays.zarr/../x": digest}},
        {"files": dict.fromkeys(whole["files"], digest)},
        {"files": {name: sha for name, sha in whole["files"].items() if name != "sweeps.parquet"}},
    ):
        (block / "block.json").write_text(json.dumps(forged))
        sign_manifest(copy, block, hashlib.sha256((block / "block.json").read_bytes()).hexdigest())
        assert f"{block}/" in outcome(copy), str(forged)[:80]


def places(content: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to every key of JSON; of a list to its first element."""
    items = content.items() if isinstance(content, dict) else list(enumerate(content))[:1]
    for key, value in items:
        yield (*above, key)
        if isinstance(value, (dict, list)) and key != "made_by":
            yield from places(value, (*above, key))


def opening(cache: Path) -> str:
    """ "read", or the message of the UserError."""
    try:
        Cache(cache)
    except UserError as error:
        return str(error)
    return "read"


def test_every_key_of_a_manifest_dropped_retyped_or_out_of_range_is_named(copy: Path) -> None:
    whole = json.loads((copy / "manifest.json").read_text())
    values: tuple[Any, ...] = ("../x", "a\x1b[2J", "", "\ud800", -1, 2**70, 0.5, True, None, [], {}, [[]], "x" * 10**6)
    tried, read = 0, []
    for path in places(whole):
        for value in ("dropped", *values):
            forged = copies.deepcopy(whole)
            place = forged
            for step in path[:-1]:
                place = place[step]
            if value == "dropped":
                del place[path[-1]]
            else:
                place[path[-1]] = value
            write_manifest(copy, forged)
            tried += 1
            found = opening(copy)
            if found == "read":
                read.append((path, str(value)[:20]))
            else:
                assert found.isprintable()
                assert "manifest.json" in found
    assert tried > 200
    without_tracks = {("tracks", "dropped"), ("tracks", "[]")}
    harmless = {"made_by", "skipped", "config_key", "digest", "class_names", "windows"}
    odd = [at for at, how in read if not harmless & set(map(str, at)) and (at[-1], how) not in without_tracks]
    assert [at for at in odd if at[-1] not in ("dataset", "name", "path", "sequences", 0)] == [], read


def test_one_thing_twice_is_named(copy: Path) -> None:
    whole = json.loads((copy / "manifest.json").read_text())
    for change in (
        lambda m: m["sequences"].append(m["sequences"][0]),
        lambda m: m["sequences"][1]["blocks"][0].update(path=m["sequences"][0]["blocks"][0]["path"]),
        lambda m: m["class_names"].append(m["class_names"][0]),
        lambda m: m["sequences"][0]["windows"].append(m["sequences"][0]["windows"][0]),
        lambda m: m["sequences"][0]["windows"][0].update(stop=99),
    ):
        forged = copies.deepcopy(whole)
        change(forged)
        write_manifest(copy, forged)
        assert "manifest.json" in outcome(copy)
    text = (copy / "manifest.json").read_text()
    body = text.replace('"dataset"', '"dataset": "other",\n "dataset"').rpartition(',\n "digest"')[0]
    digest = hashlib.sha256(body.encode()).hexdigest()
    (copy / "manifest.json").write_text(f'{body},\n "digest": "{digest}"\n}}\n')
    assert "comes twice" in outcome(copy)


@pytest.mark.parametrize(
    "name", ["manifest.json", "block.json", "sweeps.parquet", "arrays.zarr/label/zarr.json", "arrays.zarr/label/c/0"]
)
@pytest.mark.parametrize("make", ["fifo", "device", "folder", "sparse"])
def test_what_is_no_file_is_named_and_never_waited_for(copy: Path, name: str, make: str) -> None:
    file = copy / name if name == "manifest.json" else block_of(copy) / name
    file.unlink()
    if make == "fifo":
        os.mkfifo(file)
    elif make == "device":
        file.symlink_to("/dev/zero")
    elif make == "folder":
        file.mkdir()
    else:
        with file.open("wb") as sparse:
            sparse.truncate(2**40)
    if (make, name) == ("sparse", "arrays.zarr/label/c/0"):
        return  # verify would read a terabyte of zeros; a reader sees its checksum
    assert str(file.relative_to(copy)) in outcome(copy) or "label" in outcome(copy)


def test_a_block_entry_of_other_bounds_is_named(copy: Path) -> None:
    opened = Cache(copy)
    entry = opened.sequence("00").blocks[0]
    block = Block(opened.store, "00", replace(entry, start=entry.start + 1, stop=entry.stop + 1))
    with pytest.raises(UserError, match="its sweeps are not those in the manifest"):
        block.sweep(entry.start + 1)
    assert manifests.from_json((copy / "manifest.json").read_text()) == opened.manifest
