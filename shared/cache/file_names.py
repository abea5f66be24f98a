"""Whether files can be called by the names of a cache's sequences and sweeps."""

from __future__ import annotations

from typing import Final

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.names import name_fault
from iscc_lidar.shared.base.text import one_line
from iscc_lidar.shared.cache.reader import Cache

_FILES: Final = (".csv", ".json", ".txt", ".xml")
"""How files end that lie next to the folders of sequences."""


def refuse_names(cache: Cache) -> None:
    """Raise UserError where a sequence or sweep has a name by which no file can be called, or only a hidden one.

    A cache may be a stranger's. To be called before the first file is written.
    """
    for sequence in cache.sequence_names:
        taken = "ends as a file of results does" if sequence.endswith(_FILES) else None
        _refuse(cache, sequence, "sequence", taken)
        for name in cache.sweep_names(sequence):
            _refuse(cache, name, "sweep")


def _refuse(cache: Cache, name: str, what: str, fault: str | None = None) -> None:
    fault = fault or name_fault(name) or ("begins with a dot" if name.startswith(".") else None)
    if fault:
        raise UserError(
            f"{cache.path}: {one_line(name)!r:.80}, the name of a {what}, {fault}, so that no file can be called so; "
            "rename it in the dataset and preprocess again"
        )
