"""Labels of points, from files next to the sweeps or from their columns, and the names of the classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.datasets._files import cached_per_file, check_label_size
from iscc_lidar.preprocess.datasets._folder.fields import find_column
from iscc_lidar.preprocess.datasets._folder.options import AUTO, FolderOptions
from iscc_lidar.preprocess.datasets._folder.source import Source
from iscc_lidar.preprocess.datasets._points.columns import Columns
from iscc_lidar.shared.base.files import regular
from iscc_lidar.shared.layouts.formats.label_files import read_class_names

_LABEL_BYTES: Final = 4

Labels = tuple[NDArray[np.int64] | None, NDArray[np.int32] | None]
"""Class and instance of each point [N]; None where there are none."""


def read_labels(source: Source, index: int, options: FolderOptions, columns: Columns | None = None) -> Labels:
    """Read the labels of a sweep: of its file .label, or its ``columns``, which are read if not given.

    Raises UserError for a file of another number of points.
    """
    file = source.label_file(index)
    if file is not None:
        check_label_file(source, index, options)
        raw = np.fromfile(regular(file), dtype="<u4")
        return (raw & 0xFFFF).astype(np.int64), (raw >> 16).astype(np.int32)
    columns = source.read(index, options) if columns is None else columns
    semantic = columns.get(find_column(columns, "label", options.label_field))
    instance = columns.get(find_column(columns, "instance", AUTO))
    return (
        None if semantic is None else _whole(semantic).astype(np.int64),
        None if instance is None else _whole(instance).astype(np.int32),
    )


def check_label_file(source: Source, index: int, options: FolderOptions) -> None:
    """Raise UserError unless a file of labels, if there is one, has as many as the sweep has points."""
    if (file := source.label_file(index)) is not None:
        check_label_size(file, source.count(index, options), _LABEL_BYTES)


def is_class(semantic: NDArray[np.int64], classes: int) -> NDArray[np.bool_]:
    """Return which labels are those of one of ``classes`` classes, bool [N]."""
    return np.asarray((semantic >= 0) & (semantic < classes))


def classes_of(semantic: NDArray[np.int64] | None, classes: int) -> NDArray[np.uint8] | None:
    """Return labels as class indices, uint8 [N], 0 where there is no such class; None without names of classes."""
    if semantic is None or classes < 2:
        return None
    return np.where(is_class(semantic, classes), semantic, 0).astype(np.uint8)


@cached_per_file
def read_classes(path: Path) -> tuple[str, ...]:
    """Read names of classes, one per line; only "unlabelled" without the file."""
    try:
        return read_class_names(path)
    except FileNotFoundError:
        return ("unlabelled",)


def _whole(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.clip(np.nan_to_num(values.astype(np.float64)), -(2**31), 2**31 - 1)
