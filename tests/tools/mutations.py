"""Random damage to a folder of files: half of it at random bytes, half at names or where the format has fields."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from field_mutations import change_fields, pick

Rng = np.random.Generator

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


def mutate(root: Path, rng: Rng) -> str:
    """Damage one to three files or names below a folder; return a description."""
    return "; ".join(_mutate_once(root, rng) for _ in range(int(rng.integers(1, 4))))


def _mutate_once(root: Path, rng: Rng) -> str:
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    if not files:
        return "no file left"
    # First the folder, so that a folder of many files does not draw all damage.
    folder = pick(sorted({path.parent for path in files}), rng)
    path = pick([path for path in files if path.parent == folder], rng)
    where = path.relative_to(root)
    if rng.random() < 0.5:
        damage = pick(BYTES, rng)
        path.write_bytes(damage(path.read_bytes(), rng))
        return f"{where}: {damage.__name__}"
    if rng.random() < 0.3:
        damage_name = pick(NAMES, rng)
        with suppress(OSError):  # the name is taken by an earlier damage
            damage_name(path, rng)
        return f"{where}: {damage_name.__name__}"
    content = path.read_bytes()  # a failed write of a table removes its file
    try:
        return f"{where}: {change_fields(path, rng)}"
    except (
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        OverflowError,
        pa.ArrowException,
        OSError,
        struct.error,
    ) as error:
        path.write_bytes(flip_bits(content, rng))  # damaged before, or this damage does not fit it
        return f"{where}: flip_bits ({type(error).__name__})"


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
    path.rename(path.with_name(pick(HOSTILE_NAMES, rng).replace("/", "_") + path.suffix))


def copy_under_other_name(path: Path, rng: Rng) -> None:
    path.with_name(pick(HOSTILE_NAMES, rng) + path.suffix).write_bytes(path.read_bytes())


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
        path.parent.rename(path.parent.with_name(pick(HOSTILE_NAMES, rng)))


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
