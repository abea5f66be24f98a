"""What several tests ask of caches."""

from pathlib import Path

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.store.open import open_store

TINY = ["--set", "window.sweeps=3", "--set", "window.stride=1", "--set", "window.block_sweeps=2"]
"""The options of ``tiny_config`` on a command line."""


def content(cache: Path | str) -> dict[str, str]:
    """Digest of every file of a cache but for the claims, which tell who worked there last."""
    store = open_store(cache)
    return {name: store.sha256(name) for name in store.files("") if not name.startswith(".owner")}


def labels(cache: Cache) -> list[bytes]:
    """Labels of every sweep, in order."""
    return [cache.label(s, k).tobytes() for s in cache.sequence_names for k in range(cache.sequence(s).sweeps)]
