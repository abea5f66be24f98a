"""Parquet tables, read in the calling thread.

A program that ends just after Arrow's threads have read for it sometimes aborts although its work is done
(apache/arrow#34314), as six of a hundred short commands did. Tables here are small, and larger work has one process
per core.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

_BYTES: Final = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 12}
_SMALL: Final = 2**26
_EXPANSION: Final = 100
"""Bytes in memory for a byte of the file: a table of measured numbers does not reach half of it."""
_MAX_TEXT: Final = 1000


def read_table(source: Path | pa.NativeFile, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a file, or only these columns in this order. Raises OSError, KeyError, ArrowException as Arrow does."""
    with pq.ParquetFile(source, pre_buffer=False) as file:
        table = file.read(columns, use_threads=False)
    return table if columns is None else table.select(columns)


def read_checked(content: bytes, schema: pa.Schema) -> pa.Table:
    """Read the columns of a schema out of a file's bytes; only nullable ones may be missing.

    Raises ValueError or ArrowException for damaged bytes, columns of other types or with missing values, long texts,
    and numbers of values that a file of this size cannot have.
    """
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    with pq.ParquetFile(pa.BufferReader(content), pre_buffer=False, read_dictionary=texts) as file:
        _check_size(file.metadata, len(content))
        found = file.schema_arrow
        names = [field.name for field in schema if field.name in found.names or not field.nullable]
        for name in names:
            _check_type(schema.field(name), found)
        table = file.read(names, use_threads=False).select(names)
    columns = [_plain(table[name], schema.field(name)) for name in names]
    return pa.table(columns, names=names)


def _check_type(wanted: pa.Field, found: pa.Schema) -> None:
    if found.names.count(wanted.name) != 1:
        raise ValueError(f"column {wanted.name} is missing, or there twice")
    data_type = found.field(wanted.name).type
    if not _fits(data_type, wanted.type):
        raise ValueError(f"column {wanted.name} is {data_type}, expected {wanted.type}")


def _fits(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Compare types; lists of fixed and of any length are the same, and so are texts and dictionaries of texts."""
    if pa.types.is_dictionary(found):
        return _fits(found.value_type, wanted)
    lists = [pa.types.is_list(t) or pa.types.is_fixed_size_list(t) for t in (found, wanted)]
    if any(lists):
        return all(lists) and found.value_type == wanted.value_type
    if pa.types.is_struct(wanted):
        fields = {field.name: field.type for field in found} if pa.types.is_struct(found) else {}
        return all(field.name in fields and _fits(fields[field.name], field.type) for field in wanted)
    return bool(found == wanted)


def _check_size(metadata: pq.FileMetaData, size: int) -> None:
    """Refuse a file that promises more than it can contain, before memory is taken for it."""
    needed = 0
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            column = metadata.row_group(group).column(number)
            needed += max(column.num_values * _BYTES.get(column.physical_type, 8), column.total_uncompressed_size)
    if metadata.num_rows < 0 or max(needed, metadata.num_rows) > _SMALL + _EXPANSION * size:
        raise ValueError(f"{size} bytes cannot contain the {needed} that it promises")


def _plain(column: pa.ChunkedArray, wanted: pa.Field) -> Any:
    """Return a column in one piece, texts as texts. Raises ValueError where values are missing, or texts are long."""
    array = column.combine_chunks()
    if not wanted.nullable and lacks_values(array, wanted.type):
        raise ValueError(f"column {wanted.name} lacks values")
    if pa.types.is_dictionary(array.type):
        if any(text is None or len(text) > _MAX_TEXT for text in array.dictionary.to_pylist()):
            raise ValueError(f"column {wanted.name} has a text of more than {_MAX_TEXT} characters")
        array = array.cast(pa.string())
    return array


def lacks_values(array: Any, wanted: pa.DataType) -> bool:
    """Return whether a column lacks a value that its type requires, in lists and their items too."""
    if array.null_count:
        return True
    if pa.types.is_struct(wanted):
        return any(not field.nullable and lacks_values(array.field(field.name), field.type) for field in wanted)
    is_list = pa.types.is_list(wanted) or pa.types.is_fixed_size_list(wanted)
    return bool(is_list and lacks_values(array.flatten(), wanted.value_type))
