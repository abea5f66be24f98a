"""The mark of a sequence that was exported for a labelling tool: of which labels, so that corrections find them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_json
from iscc_lidar.shared.base.own import OwnFolder
from iscc_lidar.shared.cache.reader import Cache

MADE_OF_FILE: Final = "made_of.json"
_KEY: Final = "labels_sha256"


def mark_exported(cache: Cache, sequence: str, folder: OwnFolder) -> None:
    """Write the mark, after all other files of the sequence."""
    mark = {_KEY: cache.labels_digest(sequence)}
    folder.write(f"{sequence}/{MADE_OF_FILE}", (json.dumps(mark) + "\n").encode())


def is_exported(cache: Cache, sequence: str, folder: Path) -> bool:
    """Return whether a sequence was exported. Raises UserError where that was of other labels than the cache's."""
    file = folder / sequence / MADE_OF_FILE
    if not file.exists():
        return False
    if read_json(file).get(_KEY) != cache.labels_digest(sequence):
        raise UserError(
            f"{file.parent}: was exported of another cache than {cache.path}, or of an earlier state of it, and group "
            "ids mean nothing in others; import it with that cache, or export into another folder"
        )
    return True
