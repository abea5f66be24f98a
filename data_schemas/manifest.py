"""The manifest: names and checksums of everything in a cache. It is written last; without it there is no cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from iscc_lidar.data_schemas.described import described
from iscc_lidar.data_schemas.document import SHA256, DocumentError, Format, from_text, to_text
from iscc_lidar.data_schemas.names import PLAIN

FORMAT_NAME: Final = "iscc-lidar-cache"
FORMAT_MAJOR: Final = 2
FORMAT_MINOR: Final = 1

MANIFEST_FILE: Final = "manifest.json"
BLOCK_FILE: Final = "block.json"
ARRAYS_FOLDER: Final = "arrays.zarr"
SWEEPS_FILE: Final = "sweeps.parquet"
GROUPS_FILE: Final = "groups.parquet"
BOXES_FILE: Final = "boxes.parquet"
TRACKS_FILE: Final = "tracks.parquet"

_PART: Final = PLAIN.replace("$", "(/|$)")
PATH: Final = f"{_PART}(/{_PART})*"
"""A relative path with forward slashes that does not leave its starting folder."""
_MAX_CLASSES: Final = 255
_FORMAT: Final = Format(FORMAT_NAME, FORMAT_MAJOR, FORMAT_MINOR, redo="preprocess again")


@dataclass(frozen=True)
class Window:
    """Consecutive sweeps of a sequence that were stacked together.

    Windows overlap. Each sweep takes its labels from the window that owns it, the one in which it lies most centrally.
    """

    start: int = described("index of its first sweep")
    stop: int = described("index of its last sweep + 1")
    own_start: int = described("index of the first sweep that it owns, and so labels")
    own_stop: int = described("index of the last sweep that it owns + 1")


@dataclass(frozen=True)
class BlockEntry:
    """Consecutive sweeps of a sequence, stored in one folder."""

    path: str = described("the block's folder, relative to the cache", PATH)
    start: int = described("index of its first sweep")
    stop: int = described("index of its last sweep + 1")
    digest: str = described("SHA-256 of its `block.json`", SHA256)


@dataclass(frozen=True)
class SequenceEntry:
    """A sequence of the cache."""

    name: str = described("the dataset's name of the sequence", PLAIN)
    sweeps: int = described("number of its sweeps")
    windows: tuple[Window, ...] = described("windows in order; every sweep is owned by one window")
    blocks: tuple[BlockEntry, ...] = described("blocks in order; every sweep is in one block")
    tracks: tuple[BlockEntry, ...] = described(
        "folders with the boxes of the groups, one for each block, of the same sweeps; since 2.1, empty without",
        default=(),
    )


@dataclass(frozen=True)
class SkippedSequence:
    """A sequence that was requested but is not in the cache, or one sweep whose place in it has only ignored points."""

    name: str = described("the dataset's name of the sequence")
    reason: str = described("the problem with its data; for one sweep it begins with `sweep NAME: `")


@dataclass(frozen=True)
class Manifest:
    """A cache's table of contents."""

    dataset: str = described("name of the dataset's adapter", PLAIN)
    config_key: str = described("SHA-256 of all that the result depends on besides the sweeps", SHA256)
    class_names: tuple[str, ...] = described('names of the semantic classes, first "unlabelled"; empty without labels')
    sequences: tuple[SequenceEntry, ...] = described("sequences of the cache")
    skipped: tuple[SkippedSequence, ...] = described(
        "sequences that were requested but left out, and sweeps that were left out of sequences"
    )
    made_by: dict[str, Any] = described("options, seed and versions of the program that wrote it, for information only")


def to_json(manifest: Manifest) -> str:
    """Convert a manifest to JSON text, its digest last."""
    return to_text(manifest, _FORMAT)


def from_json(text: str) -> Manifest:
    """Parse a manifest. A higher MINOR and unknown keys are accepted.

    Raises DocumentError if it is no manifest, of another MAJOR, damaged, or inconsistent.
    """
    manifest = from_text(text, Manifest, _FORMAT, "manifest")
    check_consistent(manifest)
    return manifest


def check_consistent(manifest: Manifest) -> None:
    """Check that the parts of a manifest fit together. Raises DocumentError."""
    _check_class_names(manifest.class_names)
    for sequence in manifest.sequences:
        _check_blocks(sequence)
        _check_tracks(sequence)
        _check_windows(sequence)
    _refuse_twice([sequence.name for sequence in manifest.sequences], "a sequence")
    folders = [block.path for sequence in manifest.sequences for block in sequence.blocks + sequence.tracks]
    _refuse_twice(folders, "a block's folder")


def _check_blocks(sequence: SequenceEntry) -> None:
    borders = [0, *(stop for block in sequence.blocks for stop in (block.start, block.stop)), sequence.sweeps]
    gaps = any(a != b for a, b in zip(borders[::2], borders[1::2], strict=True))
    if gaps or any(block.start >= block.stop for block in sequence.blocks):
        raise DocumentError(f"the blocks of sequence {sequence.name} do not contain its sweeps one after the other")


def _check_tracks(sequence: SequenceEntry) -> None:
    of_blocks, of_tracks = ([(b.start, b.stop) for b in entries] for entries in (sequence.blocks, sequence.tracks))
    if of_tracks not in ([], of_blocks):
        raise DocumentError(f"the tracks of sequence {sequence.name} are not of the sweeps of its blocks")


def _check_windows(sequence: SequenceEntry) -> None:
    windows = sequence.windows
    borders = [0, *(stop for window in windows for stop in (window.own_start, window.own_stop)), sequence.sweeps]
    gaps = any(a != b for a, b in zip(borders[::2], borders[1::2], strict=True))
    if gaps or any(not w.start <= w.own_start < w.own_stop <= w.stop <= sequence.sweeps for w in windows):
        raise DocumentError(f"the windows of sequence {sequence.name} do not own its sweeps one after the other")


def _check_class_names(names: tuple[str, ...]) -> None:
    _refuse_twice(names, "a class")
    if len(names) > _MAX_CLASSES or not all(name and name.isprintable() for name in names):
        raise DocumentError(f"its class names are not at most {_MAX_CLASSES} printable texts")


def _refuse_twice(names: Sequence[str], what: str) -> None:
    if len(set(names)) < len(names):
        raise DocumentError(f"it contains {what} twice")
