"""Sweeps read from a dataset's own files, as they would come from its cache."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from iscc_lidar.data_schemas.boxes import Camera
from iscc_lidar.data_schemas.labels import NOISE
from iscc_lidar.data_schemas.manifest import Manifest
from iscc_lidar.data_schemas.sweep import Sweep, SweepError
from iscc_lidar.preprocess.datasets.registry import with_options
from iscc_lidar.preprocess.plan.select import find_dataset, find_problems, refuse_problems, select_sequences
from iscc_lidar.preprocess.write.block import quantise
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.block import metres
from iscc_lidar.shared.cache.sweep import NO_QUERIES, CachedSweep, SweepField


class DatasetSweeps:
    """Sweeps of a dataset, see ``SweepSource``: positions and intensity are rounded as in a cache."""

    def __init__(
        self,
        name: str,
        root: Path,
        data: Sequence[str] = (),
        sequences: Sequence[str] | None = None,
        split: str | None = None,
        accept_content: bool = False,
    ) -> None:
        """Open and check a dataset, or only these of its sequences, by its name and folder.

        ``data`` are ``key=value`` items of its own options; ``accept_content`` reads data even where the check calls
        what some sweeps contain an error. Raises UserError where it is not there, or the check finds a problem.
        """
        self.path = str(root)
        self._dataset = with_options(find_dataset(name, root), data)
        self.manifest = Manifest(name, "", self._dataset.class_names, (), (), {})
        self._sequences = select_sequences(self._dataset, sequences, split)
        if problems := find_problems(self._dataset, self._sequences, accept_content=accept_content):
            refuse_problems(problems, can_skip=False)
        self._read = lru_cache(maxsize=1)(self._read_sweep)  # points and camera of a sweep are needed together

    def places(self) -> list[tuple[str, int]]:
        """Return sequence and index of all sweeps, in order."""
        return [(name, index) for name in self._sequences for index in range(len(self._dataset.sweep_names(name)))]

    def sweep(self, sequence: str, index: int, without: Collection[SweepField] = ()) -> CachedSweep:
        """Read one sweep; without groups and queries. Raises UserError where its files are damaged."""
        sweep = self._read(sequence, index)
        return CachedSweep(
            sequence=sequence,
            index=index,
            name=sweep.name,
            xyz=metres(quantise(sweep.xyz)),
            intensity=np.rint(sweep.intensity * 255).astype(np.float32) / np.float32(255),
            label=np.full(len(sweep), NOISE, np.int32),
            semantic=None,
            world_SE3_sensor=sweep.world_SE3_sensor,
            queries=NO_QUERIES,
            pixel=None if "pixel" in without else sweep.pixel,
        )

    def camera(self, sequence: str, index: int) -> Camera | None:
        """Return the camera in which a sweep's boxes were labelled; None without one."""
        return self._read(sequence, index).camera

    def _read_sweep(self, sequence: str, index: int) -> Sweep:
        try:
            return self._dataset.read(sequence, index)
        except SweepError as error:
            raise UserError(f"{error}; fix its files, or predict other sequences: --sequences") from None
