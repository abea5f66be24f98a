"""Random damage to a folder of files: half of it at random bytes, half where the format has fields, names and sizes."""

from __future__ import annotations

import json
import os
import struct
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
HOSTILE_NAMES: Final = (
    *(
        "._000000",
        "1",
        "01",
        "000001",
        "-1",
        "a",
        " ",
        "000000 (copy)",
        "٣",
        "1e3",
        "é",
        "\udcff",
        "x" * 200,
        "\n",
        "0" * 60,
    ),
)
HOSTILE_FLOATS: Final = (0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 1e-30, 300.0, 1e6, 1e20, 3e38)


def mutate(root: Path, rng: Rng) -> str:
    """Damage one to three files or names below a folder; return a description."""
    return "; ".join(_mutate_once(root, rng) for _ in range(int(rng.integers(1, 4))))


def _mutate_once(root: Path, rng: Rng) -> str:
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    if not files:
        return "no file left"
    # First the folder, so that a folder of many files does not draw all damage.
    folder = _pick(sorted({path.parent for path in files}), rng)
    path = _pick([path for path in files if path.parent == folder], rng)
    where = path.relative_to(root)
    if rng.random() < 0.5:
        damage = _pick(BYTES, rng)
        path.write_bytes(damage(path.read_bytes(), rng))
        return f"{where}: {damage.__name__}"
    if rng.random() < 0.3:
        damage_name = _pick(NAMES, rng)
        damage_name(path, rng)
        return f"{where}: {damage_name.__name__}"
    try:
        return f"{where}: {_structured(path, rng)}"
    except (ValueError, TypeError, KeyError, IndexError, pa.ArrowException, OSError, struct.error) as error:
        path.write_bytes(flip_bits(path.read_bytes(), rng))  # damaged before, or this damage does not fit it
        return f"{where}: flip_bits ({type(error).__name__})"


def _structured(path: Path, rng: Rng) -> str:
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


def flip_bits(content: bytes, rng: Rng) -> bytes:
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        if data:
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    return bytes(data)


def cut(content: bytes, rng: Rng) -> bytes:
    return content[: int(rng.integers(len(content) + 1))]


def empty(content: bytes, rng: Rng) -> bytes:
    return b""


def extend(content: bytes, rng: Rng) -> bytes:
    return content + rng.bytes(int(rng.integers(1, 64)))


def _span(content: bytes, rng: Rng) -> tuple[int, int]:
    start, stop = sorted(int(k) for k in rng.integers(len(content) + 1, size=2))
    return start, stop


def zero_span(content: bytes, rng: Rng) -> bytes:
    start, stop = _span(content, rng)
    return content[:start] + bytes(stop - start) + content[stop:]


def remove_span(content: bytes, rng: Rng) -> bytes:
    start, stop = _span(content, rng)
    return content[:start] + content[stop:]


def repeat_span(content: bytes, rng: Rng) -> bytes:
    start, stop = _span(content, rng)
    return content[:stop] + content[start:stop] + content[stop:]


def random_bytes(content: bytes, rng: Rng) -> bytes:
    return rng.bytes(len(content))


def carriage_returns(content: bytes, rng: Rng) -> bytes:
    return content.replace(b"\n", b"\r\n")


def byte_order_mark(content: bytes, rng: Rng) -> bytes:
    return b"\xef\xbb\xbf" + content


BYTES: Final = (
    *(flip_bits, flip_bits, cut, empty, extend, zero_span, remove_span, repeat_span, random_bytes),
    *(carriage_returns, byte_order_mark),
)


def rename(path: Path, rng: Rng) -> None:
    path.rename(path.with_name(_pick(HOSTILE_NAMES, rng).replace("/", "_") + path.suffix))


def copy_under_other_name(path: Path, rng: Rng) -> None:
    path.with_name(_pick(HOSTILE_NAMES, rng) + path.suffix).write_bytes(path.read_bytes())


def remove(path: Path, rng: Rng) -> None:
    path.unlink()


def replace_by_folder(path: Path, rng: Rng) -> None:
    path.unlink()
    path.mkdir()


def replace_by_fifo(path: Path, rng: Rng) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_device(path: Path, rng: Rng) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def replace_by_dead_link(path: Path, rng: Rng) -> None:
    path.unlink()
    path.symlink_to("gone")


def replace_by_loop(path: Path, rng: Rng) -> None:
    path.unlink()
    path.symlink_to(path.name)


def replace_by_link_out(path: Path, rng: Rng) -> None:
    """A link to a file outside, next to the input folder, which must not change."""
    path.unlink()
    path.symlink_to(_outside(path) / "secret.bin")


def folder_by_link_out(path: Path, rng: Rng) -> None:
    folder = path.parent
    if (folder.parent / "outside").exists():  # the input folder itself
        return
    folder.rename(folder.with_name(folder.name + "-was"))
    folder.symlink_to(_outside(path))


def rename_folder(path: Path, rng: Rng) -> None:
    if not (path.parent.parent / "outside").exists():
        path.parent.rename(path.parent.with_name(_pick(HOSTILE_NAMES, rng)))


NAMES: Final = (
    *(
        rename,
        copy_under_other_name,
        remove,
        replace_by_folder,
        replace_by_fifo,
        replace_by_device,
        replace_by_dead_link,
    ),
    *(replace_by_loop, replace_by_link_out, folder_by_link_out, rename_folder),
)


def _outside(path: Path) -> Path:
    return next(parent / "outside" for parent in path.parents if (parent / "outside").exists())


def _text(path: Path, rng: Rng) -> str:
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    k = int(rng.integers(len(lines)))
    what = _pick(
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
            fields.insert(j, _pick(HOSTILE_TEXT, rng))
        else:
            fields[j] = _pick(HOSTILE_TEXT, rng)
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
        other = _pick(HOSTILE_JSON, rng) if rng.random() < 0.6 else _pick(HOSTILE_TEXT, rng)
        return other, f"{at or 'all'} = {str(other)[:40]!r}"
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = keys[int(rng.integers(len(keys)))]
    draw = rng.random()
    if draw < 0.15:
        del value[key]
        return value, f"{at}/{key} removed"
    if draw < 0.25 and isinstance(value, dict):
        value[_pick(HOSTILE_TEXT, rng)] = value.pop(key)
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
    what = _pick(
        ("drop", "rename", "retype", "repeat column", "hostile value", "null", "drop rows", "repeat rows"), rng
    )
    if what == "drop":
        table = table.remove_column(k)
    elif what == "rename":
        table = table.rename_columns(
            [_pick(HOSTILE_TEXT, rng) if j == k else n for j, n in enumerate(table.schema.names)]
        )
    elif what == "retype":
        kind = _pick(
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
        return _pick(HOSTILE_TEXT, rng)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return _pick((-1, 0, 1, 127, -128, 2**15 - 1, 2**31 - 1, -(2**31), 2**62), rng)
    if isinstance(value, float):
        return float(_pick(HOSTILE_FLOATS, rng))
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
    what = _pick(("values", "all", "float64", "float16", "one column less", "big endian", "drop rows", "scale"), rng)
    with np.errstate(all="ignore"):
        if what == "values":
            values[rng.integers(len(values), size=3)] = _pick(HOSTILE_FLOATS, rng)
        elif what == "all":
            values[:] = _pick(HOSTILE_FLOATS, rng)
        elif what == "scale":
            values *= np.float32(_pick((255, 1000, 1e-6, -1), rng))
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
    length = len(text) if rng.random() < 0.9 else int(_pick((0, 2**31, 2**63, len(text) + 1), rng))
    path.write_bytes(length.to_bytes(8, "little") + text + content[8 + size :])
    return what


def _pick(options: Any, rng: Rng) -> Any:
    return options[int(rng.integers(len(options)))]
