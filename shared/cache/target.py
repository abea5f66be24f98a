"""Where a cache may be written."""

from __future__ import annotations

from iscc_lidar.data_schemas.manifest import MANIFEST_FILE
from iscc_lidar.data_schemas.names import is_cache_file, is_work_file
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.text import one_line
from iscc_lidar.shared.cache.reader import read_manifest
from iscc_lidar.shared.store.store import Store

_OWN: frozenset[str] = frozenset({"sequences", ".steps", ".aside"})


def refuse_foreign(store: Store) -> None:
    """Raise UserError unless the folder is missing, empty, a cache, or what an interrupted run leaves of one.

    A cache is recognised by its manifest; what was left by the names of all files. Nothing is written.
    """
    names = store.names()
    if MANIFEST_FILE in names:
        read_manifest(store)
        return
    foreign = [name for name in names if name not in _OWN and not is_work_file(name)]
    foreign = foreign or [name for name in store.files("") if not is_cache_file(name) and not is_work_file(name)]
    if foreign:
        raise UserError(
            f"{store.url}: is not a cache, it contains {one_line(foreign[0])}; pass an empty or new folder as --cache"
        )
