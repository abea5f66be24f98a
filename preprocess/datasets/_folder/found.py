"""Find what the options of a folder leave open, in some of its sweeps."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

from iscc_lidar.preprocess.datasets._folder.fields import Found, coordinates, find_meanings
from iscc_lidar.preprocess.datasets._folder.merged import MergedSource
from iscc_lidar.preprocess.datasets._folder.options import AUTO, FolderOptions
from iscc_lidar.preprocess.datasets._folder.source import Source
from iscc_lidar.preprocess.datasets._folder.sources import FileSource, find_sequences, open_source
from iscc_lidar.preprocess.datasets._points.columns import Columns
from iscc_lidar.preprocess.datasets._points.layouts import fitting_layouts
from iscc_lidar.shared.base.errors import UserError

_SAMPLED: Final = (0.5, 0.0, 1.0)  # sweeps of the first sequence, by their place in it


@functools.lru_cache(maxsize=16)
def find_options(root: Path, options: FolderOptions) -> Found:
    """Return options without "auto", as found in some sweeps of the first sequence, and notes for the user.

    Where none of them can be read, the options are as given. Raises UserError where several readings fit.
    """
    sequences = find_sequences(root, options)
    if not sequences:
        return Found(options, ())
    source = open_source(root, min(sequences), options)
    places = _places(source)
    notes: list[str] = []
    if options.columns == AUTO and (files := _bin_files(root, sorted(sequences), options)):
        options, note = _find_columns(options, files)
        notes.append(note)
    sweeps = [columns for place in places if (columns := _readable(source, place, options)) is not None]
    if not sweeps:
        return Found(options, tuple(notes))
    found = find_meanings(options, sweeps, source.describe(places[0]))
    return Found(found.options, (*notes, *found.notes))


def _places(source: Source) -> list[int]:
    return list(dict.fromkeys(round(part * (len(source.names) - 1)) for part in _SAMPLED))


def _bin_files(root: Path, sequences: Sequence[str], options: FolderOptions) -> list[Path]:
    """Return some files of the first sequence of .bin files; none if there is none."""
    for name in sequences:
        try:
            source = open_source(root, name, options)
        except UserError:  # which the check finds
            continue
        first = source.sources[0] if isinstance(source, MergedSource) else source
        if isinstance(first, FileSource) and first.suffix.lower() == ".bin":
            return [first.file(place) for place in _places(first)]
    return []


def _readable(source: Source, index: int, options: FolderOptions) -> Columns | None:
    """Read a sweep; None where it is damaged, which is found when the data are checked."""
    try:
        columns = source.read(index, options)
        coordinates(columns, source.describe(index))
    except (UserError, OSError):
        return None
    return columns


def _find_columns(options: FolderOptions, files: Sequence[Path]) -> tuple[FolderOptions, str]:
    """Find the columns of .bin files. Raises UserError where several layouts fit, or none."""
    readings = [set(fitting_layouts(file)) for file in files if file.is_file() and file.stat().st_size]
    readings = [found for found in readings if found]  # a damaged file is found when the data are checked
    fitting = sorted(set.intersection(*readings)) if readings else []
    if options.number_type != AUTO:
        fitting = [reading for reading in fitting if reading[0] == options.number_type]
    if len(fitting) != 1:
        found = "; ".join(f"{count} columns of {kind}" for kind, count in fitting) or "none"
        raise UserError(
            f"{files[0]}: its columns cannot be guessed (what fits: {found}); pass them by name, as in "
            "--data columns=x,y,z,intensity,ring --data number_type=float32; _ leaves one out"
        )
    kind, count = fitting[0]
    columns = ",".join([*("x", "y", "z", "intensity")[:count], *("_",) * (count - 4)])
    found_options = replace(options, columns=columns, number_type=cast(Any, kind))
    return found_options, f".bin files are rows of {count} numbers of {kind} (--data columns={columns})"
