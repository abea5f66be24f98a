"""Find what the options of a folder leave open, in some of its sweeps."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

from iscc_lidar.preprocess.datasets._folder.fields import Found, coordinates, find_meanings
from iscc_lidar.preprocess.datasets._folder.merged import MergedSource
from iscc_lidar.preprocess.datasets._folder.options import AUTO, NONE, FolderOptions
from iscc_lidar.preprocess.datasets._folder.source import Source
from iscc_lidar.preprocess.datasets._folder.sources import FileSource, find_sequences, open_source
from iscc_lidar.preprocess.datasets._points.columns import Columns
from iscc_lidar.preprocess.datasets._points.layouts import fitting_layouts
from iscc_lidar.shared.base.errors import UserError

_SAMPLED: Final = (0.5, 0.0, 1.0)  # sweeps of a sequence, by their place in it
_COMPARED: Final = (
    *("intensity_field", "time_field", "range_scale", "axes", "intensity_scale", "time_unit_s", "deskew"),
)
"""Options that every sequence must show to be the same."""


@functools.lru_cache(maxsize=16)
def find_options(root: Path, options: FolderOptions) -> Found:
    """Return options without "auto", as found in some sweeps of the first sequence, and notes for the user.

    Where none of them can be read, the options are as given. Raises UserError where several readings fit.
    """
    sequences = find_sequences(root, options)
    if not sequences:
        return Found(options, ())
    source = open_source(root, min(sequences), options)
    notes: list[str] = []
    if options.columns == AUTO and (files := _bin_files(root, sorted(sequences), options)):
        options, note = _find_columns(options, files)
        notes.append(note)
    found = _meanings(source, options)
    return replace(found, notes=(*notes, *found.notes))


def find_difference(root: Path, sequence: str, given: FolderOptions) -> str:
    """Describe an option that is left open, and which this sequence shows to be another than ``find_options`` found.

    Empty if there is none. Raises UserError where files are missing, or an option that is given does not fit.
    """
    sequences, settled = find_sequences(root, given), find_options(root, given).options
    if sequence == min(sequences):
        return ""
    source = open_source(root, sequence, given)
    if given.columns == AUTO and (files := _bin_files(root, [sequence], given)):
        fitting, reading = _fitting(files), (settled.number_type, len(settled.column_names))
        if fitting and reading not in fitting:
            return _describe(root, sequence, min(sequences), "a row of .bin files", fitting[0], reading)
    found = _meanings(source, replace(given, columns=settled.columns, number_type=settled.number_type))
    for name in _COMPARED:
        mine, expected = getattr(found.options, name), getattr(settled, name)
        shown = AUTO not in (mine, expected) and name not in found.unsure and (name, mine) != ("intensity_field", NONE)
        if shown and mine != expected:
            return _describe(root, sequence, min(sequences), name, mine, expected)
    return ""


def _describe(root: Path, sequence: str, first: str, what: str, found: Any, expected: Any) -> str:
    return (
        f"{root}: its sequences differ: {what} is {_text(found)} as the files of sequence {sequence} show, "
        f"{_text(expected)} as those of sequence {first}; pass what is right for all with --data, or put sequence "
        f"{sequence} into a ROOT of its own"
    )


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return f"{value[1]} numbers of {value[0]}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _meanings(source: Source, options: FolderOptions) -> Found:
    """Return what the columns of some sweeps mean; options as they are where none can be read."""
    places, notes = _places(source), ()
    sweeps = [columns for place in places if (columns := _readable(source, place, options)) is not None]
    if not sweeps:
        return Found(options, notes)
    return find_meanings(options, sweeps, source.describe(places[0]))


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


def _fitting(files: Sequence[Path]) -> list[tuple[str, int]]:
    """Return type and number of the columns by which all of some .bin files can be read."""
    readings = [set(fitting_layouts(file)) for file in files if file.is_file() and file.stat().st_size]
    readings = [found for found in readings if found]  # a damaged file is found when the data are checked
    return sorted(set.intersection(*readings)) if readings else []


def _find_columns(options: FolderOptions, files: Sequence[Path]) -> tuple[FolderOptions, str]:
    """Find the columns of .bin files. Raises UserError where several layouts fit, or none."""
    fitting = _fitting(files)
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
