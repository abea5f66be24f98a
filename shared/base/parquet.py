"""Parquet tables, read by the calling thread alone.

A program that ends just after Arrow's own threads have read for it is aborted now and then, with everything done
(apache/arrow#34314): six of a hundred short commands were. Tables here are small, and larger work has a process a core.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def read_table(source: Path | pa.NativeFile, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a file, all of it or some columns, in this order. Raises OSError, KeyError, ArrowException as Arrow does."""
    with pq.ParquetFile(source, pre_buffer=False) as file:
        table = file.read(columns, use_threads=False)
    return table if columns is None else table.select(columns)
