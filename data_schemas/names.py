"""Names of sequences and sweeps, and of the files that a cache consists of."""

from __future__ import annotations

import re
from typing import Final

PLAIN: Final = r"(?!\.\.?$)[^/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,255}"
"""A name that is one part of a path: 1 to 255 characters, no separator or control character, neither "." nor ".."."""

_PART: Final = PLAIN.replace("$", "(/|$)")
_BLOCK_FILE: Final = re.compile(
    r"block\.json|(sweeps|groups|boxes|tracks)\.parquet|arrays\.zarr/(zarr\.json|[a-z][a-z0-9_]*/(zarr\.json|c(/[0-9]+)*))"
)
_CACHE_FILE: Final = re.compile(rf"manifest\.json|sequences/{_PART}/{_PART}/({_BLOCK_FILE.pattern})")
_WORK_FILE: Final = re.compile(
    rf"\.steps/(plan\.json|{_PART}/(done\.json|(segmented_[0-9]+|ids)-[0-9a-f]{{16}}\.npz))"
    r"|\.owner[^/]*|\.aside/\.aside\.[0-9]+\.tmp(/.*)?"
)


def is_plain_name(name: str) -> bool:
    """Return whether a name may become one part of a path."""
    return re.fullmatch(PLAIN, name) is not None


def is_block_file(name: str) -> bool:
    """Return whether the format defines a file of this path, relative to a block's folder."""
    return _BLOCK_FILE.fullmatch(name) is not None


def is_cache_file(name: str) -> bool:
    """Return whether the format defines a file of this path, relative to a cache."""
    return _CACHE_FILE.fullmatch(name) is not None


def is_work_file(name: str) -> bool:
    """Return whether it is an intermediate file or a claim of a cache's writer, by its path relative to the cache."""
    return _WORK_FILE.fullmatch(name) is not None
