"""Labels without points: all of a cache but its points comes back; damaged and forged files are named, never read."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from iscc_lidar.data_schemas import labels_only as schema
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.labels_only import LabelsOnly
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.export.target import ExportOptions, find_target
from iscc_lidar.shared.export.write import export_cache

OTHER_LENGTHS = pa.list_(
    pa.struct([f.with_type(pa.list_(pa.float64())) if f.name == "centre" else f for f in schema.GROUP])
)


@pytest.fixture(scope="module")
def made(tiny_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("labels") / "out"
    export_cache(Cache(tiny_cache), out, find_target("labels-only"), ExportOptions())
    return out


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def first_part(copy: Path) -> Path:
    return min(copy.glob("sequences/00/*.parquet"))


def forge(copy: Path, table: pa.Table) -> None:
    """Replace the first part, and make its digest right."""
    part = first_part(copy)
    before = hashlib.sha256(part.read_bytes()).hexdigest()
    pq.write_table(table, part)
    manifest = schema.from_json((copy / schema.LABELS_FILE).read_text())
    after = hashlib.sha256(part.read_bytes()).hexdigest()
    parts = tuple(replace(p, digest=after) if p.digest == before else p for p in manifest.parts)
    (copy / schema.LABELS_FILE).write_text(schema.to_json(replace(manifest, parts=parts)))


def replaced(table: pa.Table, name: str, values: list[object], data_type: pa.DataType | None = None) -> pa.Table:
    column = table.schema.get_field_index(name)
    return table.set_column(column, name, pa.array(values, data_type or table.schema.field(name).type))


def test_all_but_the_points_comes_back(made: Path, tiny_cache: Path) -> None:
    labels, cache = LabelsOnly(made), Cache(tiny_cache)
    assert labels.manifest.cache == cache.manifest
    for sequence in cache.sequence_names:
        assert labels.sweep_names(sequence) == cache.sweep_names(sequence)
        for index in range(cache.sequence(sequence).sweeps):
            found, stored = labels.sweep(sequence, index), cache.sweep(sequence, index)
            np.testing.assert_array_equal(found.label, stored.label)
            np.testing.assert_array_equal(found.world_SE3_sensor, stored.world_SE3_sensor)
            np.testing.assert_array_equal(found.moving, cache.groups(sequence, index).moving)
            boxes = cache.group_boxes(sequence, index)
            assert boxes is not None
            for name, values in vars(boxes).items():
                np.testing.assert_array_equal(vars(found.boxes)[name], values)


def test_no_point_and_no_label_of_the_dataset_is_in_it(made: Path) -> None:
    names = set(pq.read_schema(first_part(made)).names)
    assert names == {"sweep", "name", "timestamp_ns", "points", "world_SE3_sensor", "crc32_xyz", "crc32_intensity",
                     "label", "groups"}  # fmt: skip
    files = {path.name for path in made.rglob("*") if path.is_file()}
    assert {name for name in files if not name.startswith("part_")} == {
        "labels.json",
        "exported.json",
        ".iscc-lidar.json",
    }


def test_a_cache_is_read_without_this_program(made: Path, tiny_cache: Path) -> None:
    """As docs/export-labels.md says."""
    rows = pq.read_table(first_part(made), partitioning=None).to_pylist()
    for row in rows:
        label = np.frombuffer(row["label"], "<i4")
        np.testing.assert_array_equal(label, Cache(tiny_cache).label("00", row["sweep"]))
        assert [group["group"] for group in row["groups"]] == np.unique(label[label >= 0]).tolist()


def test_a_forged_table_is_named(copy: Path) -> None:
    table = pq.read_table(first_part(copy), partitioning=None)
    label, groups = table["label"].to_pylist(), table["groups"].to_pylist()
    n = len(table)
    other = [{**group, "group": group["group"] + 1} for group in groups[0]]
    for forged in (
        replaced(table, "sweep", list(range(1, n + 1))),
        replaced(table, "name", ["a"] * n),
        replaced(table, "name", ["../a", *table["name"].to_pylist()[1:]]),
        replaced(table, "points", [1] * n),
        replaced(table, "points", [-1] * n),
        replaced(table, "label", [value[:-1] for value in label]),
        replaced(table, "label", [np.full(len(value) // 4, -4, "<i4").tobytes() for value in label]),
        replaced(table, "label", [np.full(len(value) // 4, 2**30, "<i4").tobytes() for value in label]),
        replaced(table, "label", [value.decode("latin-1") for value in label], pa.string()),
        replaced(table, "groups", [groups[0][:-1], *groups[1:]]),
        replaced(table, "groups", [other, *groups[1:]]),
        replaced(table, "groups", [None, *groups[1:]], pa.list_(schema.GROUP)),
        *(
            replaced(table, "groups", [[{**group, name: value} for group in groups[0]], *groups[1:]])
            for name, value in (
                ("centre", [0.0, float("nan"), 0.0]),
                ("centre", [0.0, 0.0, 1e12]),
                ("size", [1.0, 0.0, 1.0]),
                ("heading", float("inf")),
                ("confidence", 1.5),
            )
        ),
        replaced(
            table, "groups", [[{**group, "centre": [1.0, 2.0]} for group in groups[0]], *groups[1:]], OTHER_LENGTHS
        ),
        replaced(table, "world_SE3_sensor", [[float("nan")] * 16] * n),
        replaced(table, "world_SE3_sensor", [[1.0] * 16] * n),
        table.drop_columns(["crc32_xyz"]),
        table.slice(0, n - 1),
    ):
        forge(copy, forged)
        with pytest.raises(UserError, match=r"part_000000.parquet: damaged \(.*; get the folder again"):
            LabelsOnly(copy).sweep("00", 0)
    forge(copy, table)
    assert len(LabelsOnly(copy).sweep("00", 0).label) == len(label[0]) // 4


def test_damage_is_named(copy: Path) -> None:
    part = first_part(copy)
    content = part.read_bytes()
    for damaged in (content[:-3], content[:100] + bytes([content[100] ^ 1]) + content[101:], b""):
        part.write_bytes(damaged)
        with pytest.raises(UserError, match="its digest is wrong"):
            LabelsOnly(copy).sweep("00", 0)
    part.unlink()
    with pytest.raises(UserError, match=r"part_000000.parquet: missing; get the folder again"):
        LabelsOnly(copy).sweep("00", 0)
    for sequence, index, says in (("02", 0, "no sequence '02'"), ("00", 6, "no labels for sweep 6"), ("00", -1, "-1")):
        with pytest.raises(UserError, match=says):
            LabelsOnly(copy).sweep(sequence, index)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            '"version": "1.0"',
            '"version": "2.0"',
            "its format version is 2.0, this program reads 1.x; export the labels",
        ),
        ('"stop": 6', '"stop": 5', "damaged, its digest does not match"),
        ("iscc-lidar-labels", "iscc-lidar-cache", "its format is 'iscc-lidar-cache'"),
        ("{", "[", "not JSON"),
    ],
)
def test_a_table_of_contents_that_is_none_is_named(copy: Path, old: str, new: str, says: str) -> None:
    file = copy / schema.LABELS_FILE
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=says):
        LabelsOnly(copy)


def test_a_forged_table_of_contents_is_named(copy: Path) -> None:
    file = copy / schema.LABELS_FILE
    manifest = schema.from_json(file.read_text())
    entry = manifest.cache.sequences[0]
    block = entry.blocks[0]

    def with_block(**changed: object) -> schema.LabelsManifest:
        blocks = (replace(block, **changed), *entry.blocks[1:])
        sequences = (replace(entry, blocks=blocks), *manifest.cache.sequences[1:])
        return replace(manifest, cache=replace(manifest.cache, sequences=sequences))

    first = manifest.parts[0]
    for forged in (
        replace(manifest, parts=manifest.parts[1:]),
        replace(manifest, parts=(*manifest.parts[1:], manifest.parts[-1])),
        replace(manifest, parts=(replace(first, path="../../etc/passwd"), *manifest.parts[1:])),
        replace(manifest, parts=(replace(first, path="/etc/passwd"), *manifest.parts[1:])),
        replace(manifest, parts=(replace(first, key="x"), *manifest.parts[1:])),
        with_block(path="elsewhere/block"),
        with_block(path="sequences/../../block"),
        with_block(stop=block.stop - 1),
    ):
        file.write_text(schema.to_json(forged))
        with pytest.raises(UserError, match=r"labels\.json: "):
            LabelsOnly(copy)


def test_no_folder_of_such_labels_is_one_line(tiny_cache: Path, tmp_path: Path) -> None:
    for folder in (tiny_cache, tmp_path, tmp_path / "none"):
        with pytest.raises(
            UserError, match=r"no labels without points here \(labels.json is missing\); make some with"
        ):
            LabelsOnly(folder)
