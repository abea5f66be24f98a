"""Write the group labels of a cache for another program; sequences that are written already are kept."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Final

from tqdm import tqdm

from iscc_lidar.shared.base.files import read_json, sha256
from iscc_lidar.shared.base.own import OwnFolder, own_folder
from iscc_lidar.shared.cache.file_names import refuse_names
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.export.target import ExportOptions, Target

RECORD_FILE: Final = "exported.json"
"""Lists the sequences that are complete, each with a digest of what it was made of."""


def export_cache(cache: Cache, out: Path, target: Target, options: ExportOptions) -> int:
    """Write all sequences of a cache, or those that are left after an interruption; return the number of files.

    Raises UserError where the folder is of others, or of another target or cache, or where the cache does not fit.
    """
    folder = own_folder(out, f"labels for {target.name}", f"a cache with settings {cache.manifest.config_key}")
    refuse_names(cache)
    if target.refuse is not None:
        target.refuse(cache, options)
    folder.remove_torn()
    done = _read_record(folder)
    left = [name for name in cache.sequence_names if done.get(name) != _digest(cache, name, options)]
    files = 0
    for name in tqdm(left, desc=f"export to {target.name}", unit="sequence", dynamic_ncols=True, leave=False):
        files += target.write_sequence(cache, name, folder, options)
        done[name] = _digest(cache, name, options)
        folder.write(RECORD_FILE, (json.dumps(done, indent=1, sort_keys=True) + "\n").encode())
    return files + (target.finish(cache, folder, options) if target.finish is not None else 0)


def _read_record(folder: OwnFolder) -> dict[str, str]:
    path = folder.path / RECORD_FILE
    if not path.exists():
        return {}
    return {name: digest for name, digest in read_json(path).items() if isinstance(digest, str)}


def _digest(cache: Cache, sequence: str, options: ExportOptions) -> str:
    classes = None if options.classes is None else sha256(options.classes)
    given = {"classes": classes, "min_confidence": options.min_confidence}  # not root: a dataset may move
    made_of = json.dumps(asdict(cache.sequence(sequence)) | given, sort_keys=True)
    return hashlib.sha256(f"{cache.manifest.config_key} {made_of}".encode()).hexdigest()
