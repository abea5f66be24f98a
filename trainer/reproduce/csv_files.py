"""Results as .csv files: how a value stands in a cell and comes back, and files written and read whole."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError

T = TypeVar("T")

PARSERS: Final[dict[str, Callable[[str], Any]]] = {
    "str": str,
    "int": int,
    "float": float,
    "int | None": lambda text: int(text) if text else None,
    "float | None": lambda text: float(text) if text else None,
}
"""What reads a cell, by the type of its field."""


def write_lines(path: Path, columns: Sequence[str], lines: Iterable[Iterable[str | float | None]]) -> None:
    """Write a head and lines of values."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in line] for line in lines)
    files.write_text(path, text.getvalue())


def read_lines(path: Path, name: str, parse: Callable[[dict[str, str]], T]) -> list[T]:
    """Read lines as ``parse`` makes them of cells by column. Raises UserError for what is not a file like ``name``."""
    try:
        return [parse(line) for line in csv.DictReader(path.read_text(encoding="utf-8").splitlines())]
    except (OSError, UnicodeDecodeError, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not a {name} of iscc-train reproduce ({type(error).__name__}: {error})") from None


def _cell(value: str | float | None) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
