"""Predictions for nuScenes-lidarseg: ``lidarseg/SPLIT/TOKEN_lidarseg.bin``, uint8, as the development kit reads them.

``SPLIT/submission.json``, which says what a method makes use of, is for the submitter to write.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import write_bytes
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.shared.layouts.nuscenes_names import splits
from iscc_lidar.shared.layouts.nuscenes_tables import calibrations, damaged, lidar_rows, versions


class NuScenesFiles:
    """One file a key frame; other sweeps are not evaluated and left out."""

    def __init__(self, out: Path, root: Path) -> None:
        """Read the tokens of the sweeps in the tables below ``root``; 20 s. Raises UserError for damaged tables."""
        self._out, self._root = out, root
        self._files = _files(root)

    def write(self, sweep: CachedSweep, predicted: NDArray[np.integer]) -> None:
        """Write the classes [N] of a sweep's points; 0, which the evaluation refuses, as the commonest of the others.

        Raises UserError where the tables do not know the sweep.
        """
        if (sweep.sequence, sweep.name) not in self._files:
            raise UserError(
                f"{self._root}: no table has LIDAR_TOP's sweep {sweep.name} of {sweep.sequence}; pass the folder that "
                "the cache was made from"
            )
        file = self._files[sweep.sequence, sweep.name]
        if file is not None:
            commonest = np.bincount(predicted[predicted > 0], minlength=2).argmax()
            write_bytes(self._out / file, np.where(predicted > 0, predicted, commonest).astype(np.uint8).tobytes())

    def close(self) -> None:
        """Nothing is left to do."""


def _files(root: Path) -> dict[tuple[str, str], str | None]:
    """File of each sweep, by scene and time stamp; None where it is no key frame."""
    files: dict[tuple[str, str], str | None] = {}
    for version in reversed(versions(root)):  # a scene that two versions hold is of the first, as when it was cached
        rows = list(_rows(root / version))
        split_of = _split_of({scene for scene, _, _ in rows}, version)
        for scene, stamp, token in rows:
            files[scene, stamp] = f"lidarseg/{split_of[scene]}/{token}_lidarseg.bin" if token else None
    return files


def _rows(folder: Path) -> Iterator[tuple[str, str, str | None]]:
    """Scene and time stamp of each of LIDAR_TOP's sweeps, and its token, None where it is no key frame."""
    try:
        for scene, row in lidar_rows(folder, {row["token"] for row in calibrations(folder)}):
            yield scene, str(row["timestamp"]), row["token"] if row["is_key_frame"] else None
    except KeyError as error:
        raise damaged(folder, error) from None


def _split_of(scenes: set[str], version: str) -> dict[str, str]:
    """The split that a version's scenes are evaluated in."""
    mini = version == "v1.0-mini"
    members = splits(dict.fromkeys(scenes, version))
    return {name: split for split, names in members.items() if split.startswith("mini") == mini for name in names}
