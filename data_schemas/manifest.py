"""The manifest: names and checksums of everything in a cache. It is written last; without it there is no cache."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args, get_origin, get_type_hints

from iscc_lidar.data_schemas.described import described
from iscc_lidar.data_schemas.names import PLAIN

FORMAT_NAME: Final = "iscc-lidar-cache"
FORMAT_MAJOR: Final = 2
FORMAT_MINOR: Final = 0

MANIFEST_FILE: Final = "manifest.json"
BLOCK_FILE: Final = "block.json"
ARRAYS_FOLDER: Final = "arrays.zarr"
SWEEPS_FILE: Final = "sweeps.parquet"
GROUPS_FILE: Final = "groups.parquet"
BOXES_FILE: Final = "boxes.parquet"

SHA256: Final = "[0-9a-f]{64}"
_PART: Final = PLAIN.replace("$", "(/|$)")
PATH: Final = f"{_PART}(/{_PART})*"
"""A relative path with forward slashes that does not leave its starting folder."""
VERSION: Final = r"[0-9]{1,9}\.[0-9]{1,9}"
_MAX_CLASSES: Final = 255
_BEFORE_DIGEST: Final = ',\n "digest"'


class ManifestError(ValueError):
    """The text is not a manifest that this version can read. The message gives the reason."""


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
    header = {"format": FORMAT_NAME, "version": f"{FORMAT_MAJOR}.{FORMAT_MINOR}"}
    body = json.dumps(header | dataclasses.asdict(manifest), indent=1).removesuffix("\n}")
    return body + _ending(body)


def from_json(text: str) -> Manifest:
    """Parse a manifest. A higher MINOR and unknown keys are accepted.

    Raises ManifestError if it is no manifest, of another MAJOR, damaged, or inconsistent.
    """
    try:
        content = load_json(text)
    except ValueError as error:
        raise ManifestError(f"not JSON: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT_NAME:
        found = content.get("format") if isinstance(content, dict) else content
        raise ManifestError(f"its format is {found!r}, expected {FORMAT_NAME!r}")
    _check_version(content.get("version"))
    if not text.endswith(_ending(text.rpartition(_BEFORE_DIGEST)[0])):
        raise ManifestError(
            "damaged, its digest does not match; remove it and preprocess again, which redoes only what is missing"
        )
    manifest: Manifest = _build(Manifest, content, "manifest")
    _check_class_names(manifest.class_names)
    for sequence in manifest.sequences:
        _check_blocks(sequence)
        _check_windows(sequence)
    _refuse_twice([sequence.name for sequence in manifest.sequences], "a sequence")
    _refuse_twice([block.path for sequence in manifest.sequences for block in sequence.blocks], "a block's folder")
    return manifest


def load_json(text: str | bytes) -> Any:
    """Parse JSON. Raises ValueError also for a key that comes twice, and for lists too deep to parse."""
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in names if names.count(name) > 1)!r:.80} comes twice")
    return found


def _ending(body: str) -> str:
    """Return the end of a manifest: its digest, which covers all bytes before."""
    return f'{_BEFORE_DIGEST}: "{hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()}"\n}}\n'


def _check_version(version: Any) -> None:
    if not isinstance(version, str) or not re.fullmatch(VERSION, version):
        raise ManifestError(f"its format version is {version!r}, expected MAJOR.MINOR")
    if int(version.split(".")[0]) != FORMAT_MAJOR:
        raise ManifestError(
            f"its format version is {version}, this program reads {FORMAT_MAJOR}.x; preprocess again, or use the "
            "release that wrote it"
        )


def _check_blocks(sequence: SequenceEntry) -> None:
    borders = [0, *(stop for block in sequence.blocks for stop in (block.start, block.stop)), sequence.sweeps]
    gaps = any(a != b for a, b in zip(borders[::2], borders[1::2], strict=True))
    if gaps or any(block.start >= block.stop for block in sequence.blocks):
        raise ManifestError(f"the blocks of sequence {sequence.name} do not contain its sweeps one after the other")


def _check_windows(sequence: SequenceEntry) -> None:
    windows = sequence.windows
    borders = [0, *(stop for window in windows for stop in (window.own_start, window.own_stop)), sequence.sweeps]
    gaps = any(a != b for a, b in zip(borders[::2], borders[1::2], strict=True))
    if gaps or any(not w.start <= w.own_start < w.own_stop <= w.stop <= sequence.sweeps for w in windows):
        raise ManifestError(f"the windows of sequence {sequence.name} do not own its sweeps one after the other")


def _check_class_names(names: tuple[str, ...]) -> None:
    _refuse_twice(names, "a class")
    if len(names) > _MAX_CLASSES or not all(name and name.isprintable() for name in names):
        raise ManifestError(f"its class names are not at most {_MAX_CLASSES} printable texts")


def _refuse_twice(names: Sequence[str], what: str) -> None:
    if len(set(names)) < len(names):
        raise ManifestError(f"it contains {what} twice")


def _build(cls: Any, content: Any, where: str) -> Any:
    """Build an instance of a type from parsed JSON; unknown keys are ignored."""
    if get_origin(cls) is tuple:
        items = _expect(content, list, where)
        return tuple(_build(get_args(cls)[0], item, f"{where}[{i}]") for i, item in enumerate(items))
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        return _expect(content, get_origin(cls) or cls, where)
    found = _expect(content, dict, where)
    hints = get_type_hints(cls)
    values = {}
    for item in dataclasses.fields(cls):
        if item.name not in found:
            raise ManifestError(f"{where} has no {item.name}")
        values[item.name] = _build(hints[item.name], found[item.name], f"{where}.{item.name}")
        pattern = item.metadata.get("pattern")
        if pattern and not re.fullmatch(pattern, values[item.name]):
            raise ManifestError(f"{where}.{item.name} is {values[item.name]!r}, expected the pattern {pattern}")
    return cls(**values)


def _expect(content: Any, cls: type, where: str) -> Any:
    legal = isinstance(content, cls) and not isinstance(content, bool)
    if not legal or (cls is int and content < 0):
        raise ManifestError(f"{where} is {content!r:.80}, expected {'a count' if cls is int else cls.__name__}")
    return content
