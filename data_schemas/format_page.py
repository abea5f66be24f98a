"""FORMAT.md, generated from the specifications that the program itself uses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from string import Template

import pyarrow as pa

from iscc_lidar.data_schemas import manifest
from iscc_lidar.data_schemas.arrays import BLOCK_ARRAYS, ArraySpec
from iscc_lidar.data_schemas.labels import FILL
from iscc_lidar.data_schemas.tables import BOXES, CHECKSUMS, GROUPS, SWEEPS, TRACKS


def format_page() -> str:
    """Generate the specification as Markdown: FORMAT.template.md with names, versions and tables filled in."""
    template = resources.files("iscc_lidar.data_schemas") / "FORMAT.template.md"
    tables = {"SWEEPS": SWEEPS, "GROUPS": GROUPS, "BOXES": BOXES, "TRACKS": TRACKS}
    return Template(template.read_text(encoding="utf-8")).substitute(
        {name: str(value) for name, value in vars(manifest).items() if name.isupper()},
        ARRAYS=_table(("array", "dtype, shape", "fill", "meaning"), map(_array_row, BLOCK_ARRAYS)),
        **{name: _table(("column", "type", "meaning"), _column_rows(table)) for name, table in tables.items()},
    )


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
        return f"{_type_name(data_type.value_type)} [{data_type.list_size}]"
    if data_type == CHECKSUMS:
        return "struct of one uint32 per array of points or queries; null for an array that the block lacks"
    if pa.types.is_struct(data_type):
        return "struct of " + ", ".join(f"`{field.name}` {_type_name(field.type)}" for field in data_type)
    if pa.types.is_list(data_type):
        return f"list of {_type_name(data_type.value_type)}"
    floats = {pa.float64(): "float64", pa.float32(): "float32"}  # as the arrays' dtypes; Arrow has other names
    return floats.get(data_type, str(data_type))
