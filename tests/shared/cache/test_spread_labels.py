"""Spread labels of strangers: damaged and forged files are named, and never read as labels."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from iscc_lidar.data_schemas import spread as schema
from iscc_lidar.preprocess.spread.rule import SpreadConfig
from iscc_lidar.preprocess.spread.run import spread
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.spread_labels import SpreadLabels
from iscc_lidar.shared.store.local import LocalStore


@pytest.fixture(scope="module")
def made(tiny_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("spread") / "out"
    spread(Cache(tiny_cache), LocalStore(out), [("00", "000002")], SpreadConfig())
    return out


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def forge(copy: Path, table: pa.Table) -> None:
    """Replace the only part, and make its digest right."""
    (part,) = copy.glob("sequences/00/*.parquet")
    digest = hashlib.sha256(part.read_bytes()).hexdigest()
    pq.write_table(table, part)
    manifest = schema.from_json((copy / schema.SPREAD_FILE).read_text())
    text = schema.to_json(manifest).replace(digest, hashlib.sha256(part.read_bytes()).hexdigest())
    body = text.rpartition(',\n "digest"')[0]
    ending = f',\n "digest": "{hashlib.sha256(body.encode()).hexdigest()}"\n}}\n'
    (copy / schema.SPREAD_FILE).write_text(body + ending)


def table_of(copy: Path) -> pa.Table:
    (part,) = copy.glob("sequences/00/*.parquet")
    return pq.read_table(part, partitioning=None)


def replaced(table: pa.Table, name: str, values: list[object], data_type: pa.DataType | None = None) -> pa.Table:
    column = table.schema.get_field_index(name)
    return table.set_column(column, name, pa.array(values, data_type or table.schema.field(name).type))


BOX = {"kind": "car", **dict.fromkeys(schema.BOX_FIELDS, 1.0), "source": 1}


def with_boxes(table: pa.Table, boxes: object, box_type: pa.DataType = schema.BOX) -> pa.Table:
    """Give the first sweep boxes, the others none."""
    return replaced(table, "boxes", [boxes, *[[]] * (len(table) - 1)], pa.list_(box_type))


def test_a_forged_table_is_named(copy: Path, tiny_cache: Path) -> None:
    table, cache = table_of(copy), Cache(tiny_cache)
    classes, source = table["classes"].to_pylist(), table["source"].to_pylist()
    nullable = pa.struct([field.with_nullable(True) for field in schema.BOX])
    for forged in (
        replaced(table, "sweep", [1, 0, 2, 3, 4, 5]),
        replaced(table, "points", [1] * 6),
        replaced(table, "classes", [b"\xff" * len(value) for value in classes]),
        replaced(table, "source", [b"\x05" * len(value) for value in source]),
        replaced(table, "classes", [value[:-1] for value in classes]),
        replaced(table, "classes", [value.decode("latin-1") for value in classes], pa.string()),
        table.drop_columns(["confidence"]),
        with_boxes(table, None),
        with_boxes(table, [None]),
        *(with_boxes(table, [{**BOX, name: None}], nullable) for name in ("kind", "x", "source")),
        with_boxes(table, [{**BOX, "width": 0.0}]),
        table.slice(0, 5),
    ):
        forge(copy, forged)
        with pytest.raises(UserError, match=r"part_000000.parquet: damaged \(.*; remove it and run iscc-cache spread"):
            SpreadLabels(copy, cache).sweep("00", 0)
    forge(copy, with_boxes(table, [BOX]))
    assert SpreadLabels(copy, cache).boxes("00", 0).boxes.kind.tolist() == ["car"]
    forge(copy, table)
    assert len(SpreadLabels(copy, cache).sweep("00", 0).classes) == len(cache.label("00", 0))


def test_damage_is_named(copy: Path, tiny_cache: Path) -> None:
    cache = Cache(tiny_cache)
    (part,) = copy.glob("sequences/00/*.parquet")
    content = part.read_bytes()
    for damaged in (content[:-3], content[:100] + b"\0" + content[101:], b""):
        part.write_bytes(damaged)
        with pytest.raises(UserError, match="its digest is wrong"):
            SpreadLabels(copy, cache).sweep("00", 0)
    part.unlink()
    with pytest.raises(UserError, match=r"part_000000.parquet: missing; run iscc-cache spread again"):
        SpreadLabels(copy, cache).sweep("00", 0)
    labels = SpreadLabels(copy, cache)
    for sequence, index in (("01", 0), ("00", 6), ("00", -1)):
        with pytest.raises(UserError, match=f"has no labels for sweep {index} of sequence {sequence}"):
            labels.sweep(sequence, index)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"version": "1.0"', '"version": "2.0"', "its format version is 2.0, this program reads 1.x"),
        ('"stop": 6', '"stop": 5', "damaged, its digest does not match"),
        ("iscc-lidar-spread", "iscc-lidar-cache", "its format is 'iscc-lidar-cache'"),
        ("{", "[", "not JSON"),
    ],
)
def test_a_table_of_contents_that_is_none_is_named(copy: Path, tiny_cache: Path, old: str, new: str, says: str) -> None:
    file = copy / schema.SPREAD_FILE
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=says):
        SpreadLabels(copy, Cache(tiny_cache))


def test_contents_that_contradict_themselves_are_refused(made: Path) -> None:
    text = (made / schema.SPREAD_FILE).read_text()
    manifest = schema.from_json(text)
    (sequence,) = manifest.sequences
    for name, value in (("labelled", (2, 2)), ("labelled", (6,)), ("sweeps", 7)):
        wrong = schema.SpreadSequence(**{**vars(sequence), name: value})
        with pytest.raises(schema.DocumentError):
            schema.from_json(schema.to_json(schema.SpreadManifest(**{**vars(manifest), "sequences": (wrong,)})))
    with pytest.raises(schema.DocumentError, match="contains a sequence twice"):
        schema.from_json(schema.to_json(schema.SpreadManifest(**{**vars(manifest), "sequences": (sequence, sequence)})))
    outside = schema.SpreadPart(**{**vars(sequence.parts[0]), "path": "../../secret"})
    wrong = schema.SpreadSequence(**{**vars(sequence), "parts": (outside,)})
    with pytest.raises(schema.DocumentError, match="expected the pattern"):
        schema.from_json(schema.to_json(schema.SpreadManifest(**{**vars(manifest), "sequences": (wrong,)})))


def test_labels_of_another_cache_are_refused(made: Path, tiny_cache: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_cache, tmp_path / "other")
    file = tmp_path / "other/manifest.json"
    cache = Cache(tiny_cache)
    Cache(tmp_path / "other")  # the same content elsewhere
    SpreadLabels(made, Cache(tmp_path / "other"))
    assert cache.digest == hashlib.sha256(file.read_bytes()).hexdigest()
    cache.digest = "0" * 64
    with pytest.raises(UserError, match="labels of another cache than"):
        SpreadLabels(made, cache)
