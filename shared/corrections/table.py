"""The table of corrections, a CSV file: each row selects points, and states of which object or class they are."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import GROUND, NOISE
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_text
from iscc_lidar.shared.base.text import one_line

COLUMNS: Final = ("sequence", "group", "object", "class", "sweeps", "points")
CODES: Final = {"ground": GROUND, "noise": NOISE}
"""What the column ``group`` may name besides ids of groups."""
Runs = tuple[tuple[int, int], ...]
"""Ascending runs of indices, each by its first and its last + 1."""

_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_RUN: Final = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")
_OBJECT: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_RUNS_IN_ROW: Final = 4000
"""So many fit into a field of the size that csv reads, and a spreadsheet shows."""


@dataclass(frozen=True)
class Correction:
    """A row of the table.

    Attributes:
        sequence: its name.
        group: id of a group, GROUND or NOISE; None for points of any label.
        object: id of a group that is the same object, or the name of a new object; None where the row states none.
        class_name: None where the row states none.
        sweeps: by index within the sequence; None for all.
        points: rows of the raw file of the one sweep; None for all of the group.
        line: of the file, for messages.
    """

    sequence: str
    group: int | None = None
    object: int | str | None = None
    class_name: str | None = None
    sweeps: Runs | None = None
    points: Runs | None = None
    line: int = 0


def read_corrections(path: Path) -> list[Correction]:
    """Read a table. Raises UserError, with the line, for one that is not as docs/labelling.md says, or has no row."""
    try:
        text = read_text(path, "a table of corrections")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    found = parse_corrections(text, str(path))
    if not found:
        raise UserError(f"{path}: contains no correction; expected a line of columns, {','.join(COLUMNS)}, and rows")
    return found


def parse_corrections(text: str, path: str) -> list[Correction]:
    """Parse a table, which may be empty; ``path`` is for messages. Raises UserError as read_corrections."""
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    found: list[Correction] = []
    columns: list[str] | None = None
    try:
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            where = f"{path}, line {rows.line_num}"
            if columns is None:
                columns = _header([cell.strip() for cell in row], where)
            elif len(row) != len(columns):
                raise UserError(f"{where}: has {len(row)} cells, expected {len(columns)}: {','.join(columns)}")
            else:
                cells = dict(zip(columns, (cell.strip() for cell in row), strict=True))
                found.append(_correction(cells, where, rows.line_num))
    except csv.Error as error:
        raise UserError(f"{path}, line {rows.line_num}: not a row of CSV: {one_line(error)}") from None
    return found


def write_corrections(corrections: Iterable[Correction]) -> bytes:
    """Format a table; rows with very many points become several."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    names = {code: name for name, code in CODES.items()}
    for row in corrections:
        group = "" if row.group is None else names.get(row.group, str(row.group))
        stated = [row.sequence, group, "" if row.object is None else row.object, row.class_name or ""]
        points = row.points or ()
        for start in range(0, max(1, len(points)), _RUNS_IN_ROW):
            writer.writerow([*stated, _runs_text(row.sweeps), _runs_text(points[start : start + _RUNS_IN_ROW])])
    return out.getvalue().encode()


def as_runs(indices: NDArray[np.integer]) -> Runs:
    """Return ascending indices as runs."""
    if len(indices) == 0:
        return ()
    ends = np.flatnonzero(np.diff(indices) != 1)
    starts = indices[np.concatenate([[0], ends + 1])]
    stops = indices[np.concatenate([ends, [len(indices) - 1]])] + 1
    return tuple(zip(starts.tolist(), stops.tolist(), strict=True))


def in_runs(runs: Runs, index: int) -> bool:
    """Return whether an index is in one of the runs."""
    return any(start <= index < stop for start, stop in runs)


def _header(names: list[str], where: str) -> list[str]:
    wrong = [name for name in names if name not in COLUMNS]
    if wrong or len(set(names)) < len(names) or not {"sequence", "group"} <= set(names):
        raise UserError(
            f"{where}: the columns are {one_line(', '.join(names)):.200}; expected sequence and group, and of "
            f"{', '.join(COLUMNS[2:])} those that are needed, each once"
        )
    return names


def _correction(cells: dict[str, str], where: str, line: int) -> Correction:
    found = Correction(
        sequence=cells["sequence"],
        group=_group(cells["group"], where),
        object=_object(cells.get("object", ""), where),
        class_name=cells.get("class") or None,
        sweeps=_runs(cells.get("sweeps", ""), "sweeps", where),
        points=_runs(cells.get("points", ""), "points", where),
        line=line,
    )
    if found.object is None and found.class_name is None:
        raise UserError(f"{where}: states neither an object nor a class")
    if found.points is None and found.group is None:
        raise UserError(f"{where}: selects nothing; expected a group, or points of one sweep")
    if found.points is not None and (found.sweeps is None or _count(found.sweeps) != 1):
        raise UserError(f"{where}: points are rows of one sweep; expected its index in the column sweeps")
    if found.points is None and found.group in CODES.values() and found.object is not None:
        raise UserError(f"{where}: all of {cells['group']} is no object; expected a class alone, or points")
    return found


def _group(text: str, where: str) -> int | None:
    if not text or text in CODES:
        return CODES[text] if text else None
    if not _NUMBER.fullmatch(text):
        raise UserError(f"{where}: {one_line(text)!r:.40} is no group; expected its id, ground, noise, or nothing")
    return int(text)


def _object(text: str, where: str) -> int | str | None:
    if not text:
        return None
    if _NUMBER.fullmatch(text):
        return int(text)
    if not _OBJECT.fullmatch(text):
        raise UserError(
            f"{where}: {one_line(text)!r:.80} is no object; expected the id of a group, or a new name: a letter, then "
            "up to 63 letters, digits, dots, hyphens and underscores"
        )
    return text


def _runs(text: str, what: str, where: str) -> Runs | None:
    if not text:
        return None
    found: list[tuple[int, int]] = []
    for word in text.split():
        run = _RUN.fullmatch(word)
        start, stop = (int(run[1]), int(run[2] or run[1]) + 1) if run else (0, 0)
        if start >= stop or (found and start < found[-1][1]):
            raise UserError(
                f"{where}: {one_line(word)!r:.40} in {what}; expected ascending numbers, as in 0-57 60 62-99"
            )
        found.append((start, stop))
    return tuple(found)


def _count(runs: Runs) -> int:
    return sum(stop - start for start, stop in runs)


def _runs_text(runs: Runs | None) -> str:
    return " ".join(f"{start}-{stop - 1}" if stop - start > 1 else str(start) for start, stop in runs or ())
