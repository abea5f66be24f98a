"""The manifest: what a cache holds. It is written last; without it there is no cache."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Final, get_args, get_origin, get_type_hints

from iscc_lidar.data_schemas.said import said
from iscc_lidar.data_schemas.window import Window

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
PATH: Final = r"(?!\.\.?(/|$))[^/\\\x00]+(/(?!\.\.?(/|$))[^/\\\x00]+)*"
"""A relative path with forward slashes that stays below where it starts."""
VERSION: Final = r"[0-9]{1,9}\.[0-9]{1,9}"


_BEFORE_DIGEST: Final = ',\n "digest"'


class ManifestError(ValueError):
    """The text is not a manifest that this version can read. The message says why."""


@dataclass(frozen=True)
class BlockEntry:
    """Some successive sweeps of a sequence, which share a folder."""

    path: str = said("the block's folder, from the cache's", PATH)
    start: int = said("its first sweep")
    stop: int = said("the sweep after its last one")
    digest: str = said("SHA-256 of its `block.json`", SHA256)


@dataclass(frozen=True)
class SequenceEntry:
    """A sequence."""

    name: str = said("the data set's own name of it")
    sweeps: int = said("number of its sweeps")
    windows: tuple[Window, ...] = said("sweeps that were stacked together, in order; every sweep is one window's own")
    blocks: tuple[BlockEntry, ...] = said("in order; together they hold every sweep once")


@dataclass(frozen=True)
class SkippedSequence:
    """A sequence that was asked for and is not in the cache."""

    name: str = said("the data set's own name of it")
    reason: str = said("what was wrong with its data")


@dataclass(frozen=True)
class Manifest:
    """A cache's table of contents."""

    dataset: str = said("name of the data set's reader")
    config_key: str = said("SHA-256 over all that the result depends on besides the sweeps", SHA256)
    class_names: tuple[str, ...] = said('names of the semantic classes, the first "unlabelled"; empty without labels')
    sequences: tuple[SequenceEntry, ...] = said("what the cache holds")
    skipped: tuple[SkippedSequence, ...] = said("what it should hold and does not")
    made_by: dict[str, Any] = said("options, seed and versions of the program that wrote it; for people")


def to_json(manifest: Manifest) -> str:
    """Write a manifest as JSON text, its digest last."""
    head = {"format": FORMAT_NAME, "version": f"{FORMAT_MAJOR}.{FORMAT_MINOR}"}
    body = json.dumps(head | dataclasses.asdict(manifest), indent=1).removesuffix("\n}")
    return body + _ending(body)


def from_json(text: str) -> Manifest:
    """Read a manifest. A higher MINOR and unknown keys are accepted.

    Raises:
        ManifestError: not a manifest, of another MAJOR, damaged, or at odds with itself.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"not JSON: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT_NAME:
        found = content.get("format") if isinstance(content, dict) else content
        raise ManifestError(f"its format is {found!r}, expected {FORMAT_NAME!r}")
    _check_version(content.get("version"))
    if not text.endswith(_ending(text.rpartition(_BEFORE_DIGEST)[0])):
        raise ManifestError("damaged, its own digest differs; preprocess again, which redoes only what is missing")
    manifest: Manifest = _build(Manifest, content, "manifest")
    for sequence in manifest.sequences:
        _check_blocks(sequence)
    names = [sequence.name for sequence in manifest.sequences]
    if len(set(names)) < len(names):
        raise ManifestError("a sequence stands in it twice")
    return manifest


def _ending(body: str) -> str:
    """What a manifest ends with: its digest, which covers every byte before."""
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
    holes = any(a != b for a, b in zip(borders[::2], borders[1::2], strict=True))
    if holes or any(block.start >= block.stop for block in sequence.blocks):
        raise ManifestError(f"the blocks of sequence {sequence.name} do not hold its sweeps one after the other")


def _build(kind: Any, content: Any, where: str) -> Any:
    """An instance of a type from parsed JSON; unknown keys are passed over."""
    if get_origin(kind) is tuple:
        items = _expect(content, list, where)
        return tuple(_build(get_args(kind)[0], item, f"{where}[{i}]") for i, item in enumerate(items))
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return _expect(content, get_origin(kind) or kind, where)
    found = _expect(content, dict, where)
    hints = get_type_hints(kind)
    values = {}
    for item in dataclasses.fields(kind):
        if item.name not in found:
            raise ManifestError(f"{where} has no {item.name}")
        values[item.name] = _build(hints[item.name], found[item.name], f"{where}.{item.name}")
        pattern = item.metadata.get("pattern")
        if pattern and not re.fullmatch(pattern, values[item.name]):
            raise ManifestError(f"{where}.{item.name} is {values[item.name]!r}, which is no such thing")
    return kind(**values)


def _expect(content: Any, kind: type, where: str) -> Any:
    legal = isinstance(content, kind) and not isinstance(content, bool)
    if not legal or (kind is int and content < 0):
        raise ManifestError(f"{where} is {content!r:.80}, expected {'a count' if kind is int else kind.__name__}")
    return content
