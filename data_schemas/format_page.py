"""FORMAT.md, generated from the specifications that the program itself uses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa

from iscc_lidar.data_schemas.arrays import BLOCK_ARRAYS, ArraySpec
from iscc_lidar.data_schemas.labels import FILL
from iscc_lidar.data_schemas.manifest import (
    ARRAYS_FOLDER,
    BLOCK_FILE,
    BOXES_FILE,
    FORMAT_MAJOR,
    FORMAT_MINOR,
    FORMAT_NAME,
    GROUPS_FILE,
    MANIFEST_FILE,
    SWEEPS_FILE,
)
from iscc_lidar.data_schemas.tables import BOXES, CHECKSUMS, GROUPS, SWEEPS

EXAMPLE = f'''\
import hashlib, io, json, zlib
from pathlib import Path

import pyarrow.parquet as pq
import zarr


def read_labels(cache, sequence, sweep):
    """Read the labels of a sweep's points, int32, in the raw file's order: a group id, or a code below 0."""
    manifest = json.loads((cache / "manifest.json").read_text())
    assert manifest["version"].startswith("{FORMAT_MAJOR}."), manifest["version"]
    (entry,) = (s for s in manifest["sequences"] if s["name"] == sequence)
    (block,) = (b for b in entry["blocks"] if b["start"] <= sweep < b["stop"])
    folder = cache / block["path"]
    index = read_checked(folder / "block.json", block["digest"])
    table = read_checked(folder / "sweeps.parquet", json.loads(index)["files"]["sweeps.parquet"])
    rows = pq.ParquetFile(io.BytesIO(table)).read(use_threads=False).to_pylist()
    before = sum(row["points"] for row in rows[: sweep - block["start"]])
    row = rows[sweep - block["start"]]
    label = zarr.open_group(folder / "arrays.zarr", mode="r")["label"][before : before + row["points"]]
    assert zlib.crc32(label.astype("<i4").tobytes()) == row["crc32"]["label"], f"{{folder}}: damaged"
    return label


def read_checked(file, sha256):
    """Read a file, and check that it is the one that was written."""
    content = file.read_bytes()
    assert hashlib.sha256(content).hexdigest() == sha256, f"{{file}}: damaged"
    return content


label = read_labels(Path("CACHE"), "00", 3)
'''
"""Reading labels with only zarr, pyarrow and json."""


def format_page() -> str:
    """Generate the specification as Markdown."""
    return f"""\
# Format of a cache, version {FORMAT_MAJOR}.{FORMAT_MINOR}

Generated from `data_schemas/` by `python -m iscc_lidar.data_schemas`; do not edit. MUST, SHOULD and MAY as in RFC 2119.

```
CACHE/
  {MANIFEST_FILE}                  names and checksums everything in the cache; written last
  sequences/NAME/BLOCK/
    {BLOCK_FILE}                   SHA-256 of every other file of the block
    {SWEEPS_FILE}              one row per sweep
    {GROUPS_FILE}              one row per sweep and group
    {BOXES_FILE}               one row per labelled box of a sweep; optional
    {ARRAYS_FOLDER}/                  points and queries of successive sweeps
```

## Terms

- A *sweep* is one revolution (or frame) of the LiDAR; a *sequence* is consecutive sweeps of one drive, with poses in
  one world frame.
- A *window* is consecutive sweeps that were stacked with their poses and segmented together. Windows overlap; each
  sweep takes its labels from one window, its own.
- A *group* is a set of above-ground points that belong together in a window, static or moving (`moving` of
  `{GROUPS_FILE}`).
- An *occupancy query* is a location near a group that is labelled occupied or free.
- A *block* is the unit of storage: consecutive sweeps of one sequence.

## Rules

- A cache consists of the files that its manifest names, directly or through a `{BLOCK_FILE}`. Without
  `{MANIFEST_FILE}` there is no cache. A reader MUST NOT read other files. Names that begin with a dot belong to the
  writer, and MAY be removed while no process writes.
- `version` is MAJOR.MINOR. A reader MUST refuse another MAJOR than its own ({FORMAT_MAJOR}); it MUST accept a higher
  MINOR, and unknown keys, columns, arrays and attributes.
- `digest`, the manifest's last key, is the SHA-256 of the file's bytes before the comma, line feed and space that
  precede it; after it the file ends with a line feed, a brace and a line feed. Each block's `digest` is the SHA-256 of
  its `{BLOCK_FILE}`, whose `files` has that of every other file. A reader SHOULD check what it reads against these, and
  a sweep's rows of an array against its `crc32`.
- The blocks of a sequence follow each other without a gap. The names of their folders have no meaning.
- The points of a block's sweeps are concatenated, each sweep with all points of the raw file in its order: row *i* of a
  sweep is point *i* of the raw file. Sweep *k* of the block has rows `point_start[k]` up to `point_start[k + 1]`.
  Queries are concatenated in the same way, by `query_start`.
- Arrays are Zarr v3, tables Parquet. A reader MUST take chunk and shard sizes, compression and row groups from the
  files.
- Every chunk is written. If an element equals the fill value and that is not a legal value, data is missing.
- Labels from 0 are group ids. The id of a group MUST be the same in all sweeps of a sequence, and has no meaning in
  other sequences.
- A writer MUST write all of a block before a manifest names it, MUST NOT change it afterwards, and MUST replace the
  manifest atomically: by a rename, or by one PUT in an object store.

## Manifest

`{MANIFEST_FILE}`: UTF-8 JSON with the schema [manifest.schema.json](manifest.schema.json); `format` is `{FORMAT_NAME}`.

## Arrays

Little-endian. Sizes: *points* and *queries* count those of all sweeps of the block.

{_table(("array", "dtype, shape", "fill", "meaning"), (_array_row(spec) for spec in BLOCK_ARRAYS))}

## `{SWEEPS_FILE}`

{_table(("column", "type", "meaning"), _column_rows(SWEEPS))}

## `{GROUPS_FILE}`

{_table(("column", "type", "meaning"), _column_rows(GROUPS))}

## `{BOXES_FILE}`

Optional: labelled boxes, upright in the sensor frame, of datasets that have them.

{_table(("column", "type", "meaning"), _column_rows(BOXES))}

## Reading labels without this program

```python
{EXAMPLE}```
"""


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _array_row(spec: ArraySpec) -> tuple[str, ...]:
    shape = f"[{spec.planes}, {spec.rows}]" if spec.planes else f"[{spec.rows}]"
    values = (f"{value} {meaning}" for value, meaning in spec.values.items())
    stated = [f"in units of {spec.unit}" if spec.unit else "", spec.frame, *values]
    meaning = "; ".join(text for text in (spec.meaning, *stated) if text)
    optional = "optional: " if spec.optional else ""
    fill = f"{spec.fill}, never a label" if spec.fill == FILL and spec.name == "label" else str(spec.fill)
    return f"`{spec.name}`", f"{spec.dtype} {shape}", fill, optional + meaning


def _column_rows(schema: pa.Schema) -> Iterator[tuple[str, ...]]:
    for column in schema:
        stated: Mapping[bytes, bytes] = column.metadata
        unit, frame = (stated.get(key, b"").decode() for key in (b"unit", b"frame"))
        extra = [f"in {unit}" if unit else "", f"{frame} frame" if frame else ""]
        meaning = ", ".join([stated[b"meaning"].decode(), *(text for text in extra if text)])
        yield f"`{column.name}`", _type_name(column.type), meaning


def _type_name(data_type: pa.DataType) -> str:
    if pa.types.is_fixed_size_list(data_type):
        return f"{data_type.value_type} [{data_type.list_size}]"
    if data_type == CHECKSUMS:
        return "struct of one uint32 per array of points or queries; null for an array that the block lacks"
    if pa.types.is_struct(data_type):
        return "struct of " + ", ".join(f"`{field.name}` {_type_name(field.type)}" for field in data_type)
    return f"list of {data_type.value_type}" if pa.types.is_list(data_type) else str(data_type)
