"""The folder of spread labels: what may be in it, and its table of contents."""

from __future__ import annotations

from typing import Final

from iscc_lidar.data_schemas import spread as schema
from iscc_lidar.data_schemas.spread import SPREAD_FILE, SpreadManifest
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.text import one_line
from iscc_lidar.shared.store.store import Store

PARTS_FOLDER: Final = "sequences"
_OWN: Final = frozenset({SPREAD_FILE, PARTS_FOLDER, "quality.json", "quality.png", ".owner", ".aside"})


def part_path(sequence: str, start: int) -> str:
    """Return the path of the part that begins with a sweep."""
    return f"{PARTS_FOLDER}/{sequence}/part_{start:06d}.parquet"


def refuse_foreign(store: Store) -> None:
    """Raise UserError unless the folder is missing, empty, or has spread labels, finished or not."""
    names = store.names()
    foreign = [name for name in names if name not in _OWN]
    if not foreign and SPREAD_FILE not in names:
        foreign = [f for f in store.files(PARTS_FOLDER) if not _is_part(f)] if PARTS_FOLDER in names else []
    if foreign:
        raise UserError(
            f"{store.url}: contains {one_line(foreign[0])}, which is no part of spread labels; choose an empty or new "
            "folder"
        )


def write_manifest(store: Store, manifest: SpreadManifest) -> None:
    """Write the table of contents, and remove parts of earlier runs that it does not name."""
    store.write(SPREAD_FILE, schema.to_json(manifest).encode())
    needed = {part.path for sequence in manifest.sequences for part in sequence.parts}
    there = [name for name in store.files(PARTS_FOLDER) if _is_part(name)]
    for name in there:
        if f"{PARTS_FOLDER}/{name}" not in needed:
            store.remove(f"{PARTS_FOLDER}/{name}")
    kept = {sequence.name for sequence in manifest.sequences}
    for folder in {name.partition("/")[0] for name in there if "/" in name} - kept:
        if not store.files(f"{PARTS_FOLDER}/{folder}"):
            store.remove(f"{PARTS_FOLDER}/{folder}")


def _is_part(name: str) -> bool:
    part = name.count("/") == 1 and name.rpartition("/")[2].startswith("part_") and name.endswith(".parquet")
    return part or ("/" not in name and name.startswith("probe-"))
