"""FORMAT.md, from the specifications that the program itself goes by."""

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
from iscc_lidar.data_schemas.tables import BOXES, GROUPS, SWEEPS

EXAMPLE = f'''\
import hashlib, io, json, zlib
from pathlib import Path

import pyarrow.parquet as pq
import zarr


def read_labels(cache, sequence, sweep):
    """Labels of a sweep's points, int32, in the raw file's order: from 0 a group, else one of the codes above."""
    manifest = json.loads((cache / "manifest.json").read_text())
    assert manifest["version"].startswith("{FORMAT_MAJOR}."), manifest["version"]
    (entry,) = (s for s in manifest["sequences"] if s["name"] == sequence)
    (block,) = (b for b in entry["blocks"] if b["start"] <= sweep < b["stop"])
    folder = cache / block["path"]
    index = whole(folder / "block.json", block["digest"])
    table = whole(folder / "sweeps.parquet", json.loads(index)["files"]["sweeps.parquet"])
    rows = pq.ParquetFile(io.BytesIO(table)).read(use_threads=False).to_pylist()
    before = sum(row["points"] for row in rows[: sweep - block["start"]])
    row = rows[sweep - block["start"]]
    label = zarr.open_group(folder / "arrays.zarr", mode="r")["label"][before : before + row["points"]]
    assert zlib.crc32(label.astype("<i4").tobytes()) == row["crc32"]["label"], f"{{folder}}: damaged"
    return label


def whole(file, sha256):
    """A file's bytes, which are those that the cache was finished with."""
    content = file.read_bytes()
    assert hashlib.sha256(content).hexdigest() == sha256, f"{{file}}: damaged"
    return content


label = read_labels(Path("CACHE"), "00", 3)
'''
"""How to read labels with zarr, pyarrow and json alone."""


def format_page() -> str:
    """The specification as Markdown."""
    return f"""\
# Format of a cache, version {FORMAT_MAJOR}.{FORMAT_MINOR}

Made from `data_schemas/` by `python -m iscc_lidar.data_schemas`; do not edit. MUST, SHOULD and MAY as in RFC 2119.

```
CACHE/
  {MANIFEST_FILE}                  what the cache holds, written last
  sequences/NAME/BLOCK/
    {BLOCK_FILE}                   SHA-256 of every other file of the block
    {SWEEPS_FILE}              a row a sweep
    {GROUPS_FILE}              a row a group in a sweep
    {BOXES_FILE}               a row a labelled box in a sweep; optional
    {ARRAYS_FOLDER}/                  points and queries of successive sweeps
```

## Rules

- A cache is the files that its manifest leads to. Without `{MANIFEST_FILE}` there is none. A reader MUST NOT read what
  the manifest does not name. Names that begin with a dot are the writer's own, and MAY be removed while nobody writes.
- `version` is MAJOR.MINOR. A reader MUST refuse another MAJOR than its own ({FORMAT_MAJOR}); it MUST accept a higher
  MINOR, and keys, columns, arrays and attributes that it does not know.
- `digest`, the manifest's last key, is the SHA-256 of the file's bytes before the comma, line feed and space in front
  of it; a line feed, a brace and a line feed end the file. Each block's `digest` is that of its `{BLOCK_FILE}`, whose
  `files` has that of every other file. A reader SHOULD check what it reads against these, and a sweep's rows of an
  array against its `crc32`.
- A block holds successive sweeps of one sequence; the blocks of a sequence follow each other without a gap. Their
  folders' names have no meaning.
- Points of a block's sweeps lie behind one another, each sweep in the raw file's order and count: row *i* of a sweep is
  point *i* of the raw file. Sweep *k* of the block has rows `point_start[k]` up to `point_start[k + 1]`; queries
  likewise.
- Arrays are Zarr v3, tables Parquet. A reader MUST take chunk and shard sizes, compression and row groups from the
  files.
- Every chunk is written. Where an element equals the fill value and that is not a legal one, data is missing.
- Labels from 0 are group ids. A group is a thing followed through the sequence, still or moving (`moving` of
  `{GROUPS_FILE}`): its id MUST be the same in all sweeps, and has no meaning in another sequence.
- A writer MUST write a block in full before a manifest names it, MUST NOT change it afterwards, and MUST replace the
  manifest in one step: by a rename, or by one PUT in an object store.

## Manifest

`{MANIFEST_FILE}`: UTF-8 JSON by [manifest.schema.json](manifest.schema.json), `format` being `{FORMAT_NAME}`.

## Arrays

Little-endian. Sizes: *points* and *queries* are those of all sweeps of the block.

{_table(("array", "dtype, shape", "fill", "meaning"), (_array_row(spec) for spec in BLOCK_ARRAYS))}

## `{SWEEPS_FILE}`

{_table(("column", "type", "meaning"), _column_rows(SWEEPS))}

## `{GROUPS_FILE}`

{_table(("column", "type", "meaning"), _column_rows(GROUPS))}

## `{BOXES_FILE}`

Optional: labelled boxes of data sets that have them, upright in the sensor frame.

{_table(("column", "type", "meaning"), _column_rows(BOXES))}

## Reading labels without this program

```python
{EXAMPLE}```
"""


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
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


def _type_name(kind: pa.DataType) -> str:
    if pa.types.is_fixed_size_list(kind):
        return f"{kind.value_type} [{kind.list_size}]"
    if pa.types.is_struct(kind):
        return "a uint32 for each array of points or queries; null for one that the block does not have"
    return str(kind)
