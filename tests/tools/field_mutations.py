"""Random damage where a file's format has fields, columns, keys, numbers and sizes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq

Rng = np.random.Generator

HOSTILE_TEXT: Final = (
    *(
        "",
        " ",
        "nan",
        "inf",
        "-1",
        "0",
        "1e400",
        "1e160",
        "2" * 30,
        "0x10",
        "1,2",
        "1;2",
        "None",
        "null",
        "true",
        "-",
        "\x00",
    ),
    *("..", "../../outside/secret.bin", "/etc/passwd", "~", "a/b", "a\\b", "\x1b[31m", "\u202eabc", "\ufeff00", "\r\n"),
    *("<script>alert(1)</script>", "${HOME}", "%s%n", "A" * 5000, "dask://x", "file:///etc/passwd", "s3://no/such::x"),
)
HOSTILE_JSON: Final = (
    *(
        None,
        True,
        False,
        -1,
        0,
        1,
        2**31,
        2**63,
        2**64,
        10**30,
        0.5,
        1e308,
        float("nan"),
        float("inf"),
        [],
        {},
        [[]],
        {"a": {}},
    ),
    *(["x"] * 3, [0] * 1000, [[[[[[[[[[0]]]]]]]]]]),
)
HOSTILE_FLOATS: Final = (0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 1e-30, 300.0, 1e6, 1e20, 3e38)


def change_fields(path: Path, rng: Rng) -> str:
    """Damage a file by what its suffix says that it is; return a description. Raises what the format's reader does."""
    damage: Callable[[Path, Rng], str] = {
        ".json": _json_file,
        ".jsonl": _json_lines,
        ".parquet": _table,
        ".feather": _table,
        ".bin": _numbers,
        ".label": _numbers,
        ".safetensors": _safetensors,
    }.get(path.suffix, _text)
    return damage(path, rng)


def _text(path: Path, rng: Rng) -> str:
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    k = int(rng.integers(len(lines)))
    what = pick(
        ("drop line", "repeat line", "swap lines", "replace field", "drop field", "add field", "blank line"), rng
    )
    if what == "drop line":
        del lines[k]
    elif what == "repeat line":
        lines.insert(k, lines[k])
    elif what == "swap lines":
        other = int(rng.integers(len(lines)))
        lines[k], lines[other] = lines[other], lines[k]
    elif what == "blank line":
        lines.insert(k, "")
    else:
        fields = lines[k].split(" ")
        j = int(rng.integers(len(fields)))
        if what == "drop field":
            del fields[j]
        elif what == "add field":
            fields.insert(j, pick(HOSTILE_TEXT, rng))
        else:
            fields[j] = pick(HOSTILE_TEXT, rng)
        lines[k] = " ".join(fields)
    path.write_text("\n".join(lines), encoding="utf-8", errors="surrogateescape", newline="")
    return f"{what} {k}"


def _json_file(path: Path, rng: Rng) -> str:
    value = json.loads(path.read_text())
    value, what = _changed(value, rng)
    path.write_text(json.dumps(value))
    return what


def _json_lines(path: Path, rng: Rng) -> str:
    lines = path.read_text().splitlines()
    k = int(rng.integers(len(lines)))
    value, what = _changed(json.loads(lines[k]), rng)
    lines[k] = json.dumps(value)
    path.write_text("\n".join(lines) + "\n")
    return f"line {k}: {what}"


def _changed(value: Any, rng: Rng, at: str = "") -> tuple[Any, str]:
    """Walk to a random place of a JSON value and replace, remove or repeat what is there."""
    inner = isinstance(value, (dict, list)) and len(value) > 0
    if not inner or rng.random() < 0.1:
        other = pick(HOSTILE_JSON, rng) if rng.random() < 0.6 else pick(HOSTILE_TEXT, rng)
        return other, f"{at or 'all'} = {str(other)[:40]!r}"
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = keys[int(rng.integers(len(keys)))]
    draw = rng.random()
    if draw < 0.15:
        del value[key]
        return value, f"{at}/{key} removed"
    if draw < 0.25 and isinstance(value, dict):
        value[pick(HOSTILE_TEXT, rng)] = value.pop(key)
        return value, f"{at}/{key} renamed"
    if draw < 0.25:
        value.insert(key, value[key])
        return value, f"{at}/{key} repeated"
    value[key], what = _changed(value[key], rng, f"{at}/{key}")
    return value, what


def _table(path: Path, rng: Rng) -> str:
    table = feather.read_table(path) if path.suffix == ".feather" else pq.read_table(path)
    k = int(rng.integers(table.num_columns))
    name, column = table.schema.names[k], table.column(k)
    what = pick(("drop", "rename", "retype", "repeat column", "hostile value", "null", "drop rows", "repeat rows"), rng)
    if what == "drop":
        table = table.remove_column(k)
    elif what == "rename":
        table = table.rename_columns(
            [pick(HOSTILE_TEXT, rng) if j == k else n for j, n in enumerate(table.schema.names)]
        )
    elif what == "retype":
        kind = pick(
            (pa.string(), pa.int8(), pa.uint64(), pa.float64(), pa.float16(), pa.bool_(), pa.list_(pa.int64())), rng
        )
        values = [None] * len(column) if pa.types.is_list(kind) else _retyped(column, kind)
        table = table.set_column(k, name, pa.array(values, kind))
    elif what == "repeat column":
        table = table.append_column(name, column)
    elif what == "drop rows":
        table = table.slice(0, int(rng.integers(table.num_rows + 1)))
    elif what == "repeat rows":
        table = pa.concat_tables([table, table.slice(0, 1)])
    else:
        values = column.to_pylist()
        j = int(rng.integers(len(values)))
        values[j] = None if what == "null" else _hostile_like(values[j], rng)
        table = table.set_column(k, table.schema.field(k), pa.array(values, column.type))
    if path.suffix == ".feather":
        feather.write_feather(table, path)
    else:
        pq.write_table(table, path)
    return f"{what} {name}"


def _retyped(column: pa.ChunkedArray, kind: pa.DataType) -> list[Any]:
    if pa.types.is_string(kind):
        return [str(value) for value in column.to_pylist()]
    if pa.types.is_boolean(kind):
        return [bool(value) for value in column.to_pylist()]
    return [7] * len(column) if pa.types.is_integer(kind) else np.full(len(column), 7.5, np.float16).tolist()


def _hostile_like(value: Any, rng: Rng) -> Any:
    if isinstance(value, str):
        return pick(HOSTILE_TEXT, rng)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return pick((-1, 0, 1, 127, -128, 2**15 - 1, 2**31 - 1, -(2**31), 2**62), rng)
    if isinstance(value, float):
        return float(pick(HOSTILE_FLOATS, rng))
    if isinstance(value, list):
        return (
            [] if rng.random() < 0.3 or not value else [*value[:-1], _hostile_like(value[-1], rng)][: rng.integers(9)]
        )
    if isinstance(value, dict) and value:
        key = list(value)[int(rng.integers(len(value)))]
        return {**value, key: _hostile_like(value[key], rng)}
    return None


def _numbers(path: Path, rng: Rng) -> str:
    """Change points or labels as numbers: values, types, columns, rows."""
    content = path.read_bytes()
    values = np.frombuffer(content[: len(content) // 4 * 4], "<f4").copy()
    what = pick(("values", "all", "float64", "float16", "one column less", "big endian", "drop rows", "scale"), rng)
    with np.errstate(all="ignore"):
        if what == "values":
            values[rng.integers(len(values), size=3)] = pick(HOSTILE_FLOATS, rng)
        elif what == "all":
            values[:] = pick(HOSTILE_FLOATS, rng)
        elif what == "scale":
            values *= np.float32(pick((255, 1000, 1e-6, -1), rng))
        elif what == "drop rows":
            values = values[: int(rng.integers(len(values) // 4 + 1)) * 4]
        other = {"float64": "<f8", "float16": "<f2", "big endian": ">f4"}.get(what, "<f4")
        if what == "one column less":
            values = values[: len(values) // 4 * 4].reshape(-1, 4)[:, :3].ravel()
        path.write_bytes(values.astype(other).tobytes())
    return what


def _safetensors(path: Path, rng: Rng) -> str:
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header, what = _changed(json.loads(content[8 : 8 + size]), rng)
    text = json.dumps(header).encode()
    length = len(text) if rng.random() < 0.9 else int(pick((0, 2**31, 2**63, len(text) + 1), rng))
    path.write_bytes(length.to_bytes(8, "little") + text + content[8 + size :])
    return what


def pick(options: Any, rng: Rng) -> Any:
    return options[int(rng.integers(len(options)))]
