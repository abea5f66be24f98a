"""Parquet tables, read in the calling thread.

A program that ends just after Arrow's threads have read for it sometimes aborts although its work is done
(apache/arrow#34314), as six of a hundred short commands did. Tables here are small, and larger work has one process
per core.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def read_table(source: Path | pa.NativeFile, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a file, or only these columns in this order. Raises OSError, KeyError, ArrowException as Arrow does."""
    with pq.ParquetFile(source, pre_buffer=False) as file:
        table = file.read(columns, use_threads=False)
    return table if columns is None else table.select(columns)
