"""The manifest: what a cache holds. It is written last; without it there is no cache."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Final

from iscc_lidar.data_schemas.window import Window

FORMAT_NAME: Final = "iscc-lidar-cache"
FORMAT_MAJOR: Final = 1
FORMAT_MINOR: Final = 1

MANIFEST_FILE: Final = "manifest.json"
BLOCK_FILE: Final = "block.json"
ARRAYS_FOLDER: Final = "arrays.zarr"
SWEEPS_FILE: Final = "sweeps.parquet"
GROUPS_FILE: Final = "groups.parquet"


class ManifestError(ValueError):
    """The text is not a manifest that this version can read. The message says why."""


@dataclass(frozen=True)
class BlockEntry:
    """A block of sweeps ``start`` up to ``stop``, in folder ``path``; ``digest`` is its block file's SHA-256."""

    path: str
    start: int
    stop: int
    digest: str


@dataclass(frozen=True)
class SequenceEntry:
    """A sequence: its sweep count, its windows and its blocks, each in order."""

    name: str
    sweeps: int
    windows: tuple[Window, ...]
    blocks: tuple[BlockEntry, ...]


@dataclass(frozen=True)
class Manifest:
    """A cache's table of contents.

    Attributes:
        dataset: name of the data set adapter that read the sweeps.
        config_key: SHA-256 over everything but the sweeps that the result depends on.
        class_names: names of the semantic classes; index 0 is "unlabelled". Empty without labels.
        sequences: in order of their names.

    """

    dataset: str
    config_key: str
    class_names: tuple[str, ...]
    sequences: tuple[SequenceEntry, ...]


def to_json(manifest: Manifest) -> str:
    """Write a manifest as JSON text."""
    head = {"format": FORMAT_NAME, "version": f"{FORMAT_MAJOR}.{FORMAT_MINOR}"}
    return json.dumps(head | dataclasses.asdict(manifest), indent=1) + "\n"


def from_json(text: str) -> Manifest:
    """Read a manifest. Unknown keys and a higher MINOR are accepted; raises ManifestError otherwise."""
    try:
        content = json.loads(text)
        if content.get("format") != FORMAT_NAME:
            raise ManifestError(f"its format is {content.get('format')!r}, expected {FORMAT_NAME!r}")
        if int(str(content["version"]).split(".")[0]) != FORMAT_MAJOR:
            raise ManifestError(
                f"its format version is {content['version']}, this program reads "
                f"{FORMAT_MAJOR}.x; preprocess again, or use the release that wrote it"
            )
        sequences = tuple(_sequence(s) for s in content["sequences"])
        return Manifest(content["dataset"], content["config_key"], tuple(content["class_names"]), sequences)
    except (AttributeError, KeyError, TypeError, json.JSONDecodeError, IndexError) as error:
        raise ManifestError(f"not a manifest: {type(error).__name__}: {error}") from None


def _sequence(content: dict[str, Any]) -> SequenceEntry:
    windows = tuple(Window(w["start"], w["stop"], w["own_start"], w["own_stop"]) for w in content["windows"])
    blocks = tuple(BlockEntry(b["path"], b["start"], b["stop"], b["digest"]) for b in content["blocks"])
    return SequenceEntry(content["name"], content["sweeps"], windows, blocks)
