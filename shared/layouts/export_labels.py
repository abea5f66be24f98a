"""Export group labels in SemanticKITTI's label files, for tools that know only those."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import write_bytes, write_text
from iscc_lidar.shared.cache.reader import Cache

_MAX_INSTANCE = 2**16 - 1


def export_semantickitti(cache: Cache, out: Path) -> int:
    """Write ``out/sequences/NN/labels/NAME.label``: instance (high 16 bits) = group, class (low 16 bits) = 0.

    Instance 0 is noise, ground and points that are not considered. Group ids are renumbered from 1 in
    each sequence; ``groups.csv`` beside the labels lists instance and group id.

    Returns:
        Number of files written.

    Raises:
        UserError: a sequence has more groups than 16 bits can name.
    """
    files = 0
    for entry in cache.manifest.sequences:
        folder = out / "sequences" / entry.name
        groups = _groups_of(cache, entry.name)
        if len(groups) > _MAX_INSTANCE:
            raise UserError(
                f"{cache.path}: sequence {entry.name} has {len(groups)} groups; SemanticKITTI's labels "
                f"hold {_MAX_INSTANCE} at most"
            )
        for index in range(entry.sweeps):
            sweep = cache.sweep(entry.name, index)
            write_bytes(folder / "labels" / f"{sweep.name}.label", _label_file(sweep.label, groups))
            files += 1
        rows = [f"{instance},{group}" for instance, group in enumerate(groups.tolist(), start=1)]
        write_text(folder / "groups.csv", "\n".join(["instance,group", *rows]) + "\n")
    return files


def _groups_of(cache: Cache, sequence: str) -> NDArray[np.int32]:
    ids = [block.group_rows["group"].to_numpy() for block in cache.blocks(sequence)]
    return np.unique(np.concatenate(ids)) if ids else np.empty(0, np.int32)


def _label_file(label: NDArray[np.int32], groups: NDArray[np.int32]) -> bytes:
    instance = np.where(label >= 0, np.searchsorted(groups, label) + 1, 0).astype(np.uint32)
    return (instance << 16).astype("<u4").tobytes()
