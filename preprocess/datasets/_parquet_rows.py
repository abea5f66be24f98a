"""Single rows of large Parquet files, decoded one after another: memory stays at a few rows whatever the file.

A row of a range-image table is megabytes, and a row group may contain one row or all thousand of them, in any order. A
cursor decodes the rows of a row group in order; a few cursors are kept open. When the rows of one sweep after another
are read, those of each in ascending order, files sorted by time are decoded once and files sorted by laser about twice.
Where the rows of large row groups are in random order, each sweep costs up to one pass over them.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError

if TYPE_CHECKING:  # imported where files are read, so that listing the datasets stays fast
    import pyarrow as pa
    import pyarrow.parquet as pq

_MAX_CURSORS: Final = 6  # one for each laser, and a spare one
_READ_BUFFER_BYTES: Final = 1 << 20
_OPEN_FILES: Final = 6


@dataclass
class _Cursor:
    position: int  # number of the next row
    stop: int
    batches: Iterator[pa.RecordBatch]


class ParquetRows:
    """Rows of one file by number. Use ``open_rows``, which keeps a few files open per process."""

    def __init__(self, path: Path, columns: tuple[str, ...], cached_rows: int) -> None:
        self._path = path
        self._columns = list(columns)
        self._file = open_parquet(path)
        groups = [self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(groups, dtype=np.int64)])
        self._cursors: list[_Cursor] = []  # the least recently used first
        self._rows: OrderedDict[int, pa.RecordBatch] = OrderedDict()
        self._cached_rows = cached_rows
        self._lock = threading.Lock()

    def row(self, number: int) -> pa.RecordBatch:
        """Read one row, as a batch of length 1. Raises UserError where the file is damaged."""
        import pyarrow as pa

        with self._lock:
            if number not in self._rows:
                try:
                    self._decode(number)
                except (OSError, ValueError, StopIteration, pa.ArrowException) as error:
                    self._cursors.clear()
                    raise damaged(self._path, f"row {number}: {error or type(error).__name__}") from None
            return self._rows[number]

    def _decode(self, number: int) -> None:
        cursor = self._cursor_before(number)
        while cursor.position <= number:
            self._rows[cursor.position] = next(cursor.batches)
            cursor.position += 1
            if len(self._rows) > self._cached_rows:
                self._rows.popitem(last=False)
        self._cursors = [c for c in self._cursors if c.position < c.stop]

    def _cursor_before(self, number: int) -> _Cursor:
        # The last cursor before the row is the nearest. In files sorted by laser each laser gets a cursor of its own: a
        # sweep whose first row lies before all cursors opens one more.
        before = [c for c in self._cursors if c.position <= number < c.stop]
        cursor = max(before, key=lambda c: c.position) if before else self._new_cursor(number)
        self._cursors = [*(c for c in self._cursors if c is not cursor), cursor][-_MAX_CURSORS:]
        return cursor

    def _new_cursor(self, number: int) -> _Cursor:
        group = int(np.searchsorted(self._starts, number, side="right")) - 1
        batches = self._file.iter_batches(1, row_groups=[group], columns=self._columns, use_threads=False)
        return _Cursor(int(self._starts[group]), int(self._starts[group + 1]), batches)


def open_rows(path: Path, columns: tuple[str, ...], cached_rows: int) -> ParquetRows:
    """Open a file by rows and keep the last ``cached_rows`` of them in memory. Raises UserError as open_parquet."""
    return _open_rows(path, _version(path), columns, cached_rows)


@functools.lru_cache(_OPEN_FILES)
def _open_rows(path: Path, _version: tuple[int, ...], columns: tuple[str, ...], cached_rows: int) -> ParquetRows:
    return ParquetRows(path, columns, cached_rows)


def read_columns(path: Path, columns: tuple[str, ...]) -> pa.Table:
    """Read small columns of all rows. Raises UserError where one is missing or the file is damaged."""
    import pyarrow as pa

    file = open_parquet(path)
    check_columns(path, file.schema_arrow, columns)
    try:
        return file.read(columns=list(columns), use_threads=False)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise damaged(path, str(error)) from None


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a file and read its footer. Raises UserError where it is missing, cut short or not Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Without both, pyarrow loads whole column chunks: a gigabyte where all rows are one row group.
        return pq.ParquetFile(files.regular(path), buffer_size=_READ_BUFFER_BYTES, pre_buffer=False)
    except FileNotFoundError:
        raise UserError(f"{path}: missing") from None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise damaged(path, str(error)) from None


def check_columns(path: Path, schema: pa.Schema, columns: tuple[str, ...]) -> None:
    """Raise UserError where a column is missing, or there twice."""
    missing = [column for column in columns if column not in schema.names]
    if missing:
        raise UserError(
            f"{path}: has no column {', '.join(missing)}; expected the tables of release 2.0.1, found: "
            f"{', '.join(schema.names)}"
        )
    if twice := [column for column in columns if schema.names.count(column) > 1]:
        raise UserError(f"{path}: has two columns {twice[0]}; fetch the file again")


def check_numbers(path: Path, schema: pa.Schema, columns: tuple[str, ...], *, lists: bool) -> None:
    """Raise UserError unless columns contain numbers, or lists of them."""
    import pyarrow as pa

    for column in columns:
        found = schema.field(column).type
        is_list = pa.types.is_list(found) or pa.types.is_large_list(found) or pa.types.is_fixed_size_list(found)
        of_value = found.value_type if is_list else found
        numeric = pa.types.is_integer(of_value) or pa.types.is_floating(of_value)
        if not pa.types.is_null(found) and not (numeric and is_list == lists):
            wanted = "lists of numbers" if lists else "numbers"
            raise UserError(f"{path}: column {column} has type {found}, expected {wanted}; fetch the file again")


def damaged(path: Path, reason: str) -> UserError:
    """Return the error for a file that cannot be read."""
    return UserError(f"{path}: not readable as Parquet, cut short or damaged ({reason.strip()}); fetch it again")


def _version(path: Path) -> tuple[int, ...]:
    try:
        return files.version(path)
    except FileNotFoundError:
        raise UserError(f"{path}: missing") from None
