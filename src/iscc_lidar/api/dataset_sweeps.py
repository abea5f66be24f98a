"""Sweeps read from a dataset's own files, as they would come from its cache."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from iscc_lidar.data_schemas.boxes import Camera
from iscc_lidar.data_schemas.labels import NOISE
from iscc_lidar.data_schemas.manifest import Manifest
from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.datasets.registry import Dataset, with_options
from iscc_lidar.preprocess.odometry.posed import without_poses
from iscc_lidar.preprocess.odometry.prepare import prepare, settle
from iscc_lidar.preprocess.plan.left_out import blank_sweep, find_broken
from iscc_lidar.preprocess.plan.plausibility import describe_error
from iscc_lidar.preprocess.plan.select import find_dataset, select_sequences
from iscc_lidar.preprocess.write.block import quantise, quantise_intensity
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.block import metres, unit_intensity
from iscc_lidar.shared.cache.sweep import NO_QUERIES, CachedSweep, SweepField


class DatasetSweeps:
    """Sweeps of a dataset, see ``SweepSource``: positions and intensity are rounded as in a cache.

    Attributes:
        path: folder of the dataset.
        manifest: its name and classes.
        broken: why each sequence is left out.
        left_out: why each sweep is, by sequence and index, as far as they were read: no point of it is valid then.
    """

    def __init__(
        self,
        name: str,
        root: Path,
        data: Sequence[str] = (),
        sequences: Sequence[str] | None = None,
        split: str | None = None,
        *,
        poses: str | None = None,
        out: str = "predictions",
        skip: bool = False,
        accept_content: bool = False,
    ) -> None:
        """Open and check a dataset, or only these of its sequences, by its name and folder.

        Args:
            name: of the dataset.
            root: its folder.
            data: ``key=value`` items of its own options.
            sequences: only these.
            split: only this official split.
            poses: as of ``iscc-preprocess run``; only used where points are deskewed by them, else none are needed.
            out: poses that have to be computed are written next to it.
            skip: leave out what cannot be used.
            accept_content: read data also where the check calls what some sweeps contain an error.

        Raises:
            UserError: the dataset is not there, or the check finds a problem.
        """
        self.path = str(root)
        dataset = settle(with_options(find_dataset(name, root), data))
        chosen = select_sequences(dataset, sequences, split)
        self._dataset, self._skip = posed(dataset, poses, out, chosen), skip
        self.manifest = Manifest(name, "", self._dataset.class_names, (), (), {})
        broken = find_broken(self._dataset, chosen, skip=skip, accept_content=accept_content, poses=False)
        self.broken = {name: "; ".join(problem.message for problem in found) for name, found in broken.items()}
        self.left_out: dict[tuple[str, int], str] = {}
        self._sequences = [name for name in chosen if name not in broken]
        self._read = lru_cache(maxsize=1)(self._read_sweep)  # points and camera of a sweep are needed together

    def places(self) -> list[tuple[str, int]]:
        """Return sequence and index of all sweeps, in order."""
        return [(name, index) for name in self._sequences for index in range(len(self._dataset.sweep_names(name)))]

    def sweep_names(self, sequence: str) -> tuple[str, ...]:
        """Return the names of a sequence's sweeps, by index."""
        return self._dataset.sweep_names(sequence)

    def sweep(self, sequence: str, index: int, without: Collection[SweepField] = ()) -> CachedSweep:
        """Read one sweep; without groups and queries. Raises UserError for damaged files, unless ``skip``."""
        sweep = self._read(sequence, index)
        return CachedSweep(
            sequence=sequence,
            index=index,
            name=sweep.name,
            xyz=metres(quantise(sweep.xyz)),
            intensity=unit_intensity(quantise_intensity(sweep.intensity)),
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
        except (OSError, MemoryError):
            raise
        except Exception as error:  # whatever a damaged file makes a reader raise
            message = describe_error(error, f"sequence {sequence}")
        if not self._skip:
            raise UserError(f"{message}; fix its files, or leave such sweeps out with --on-error skip")
        self.left_out[sequence, index] = message
        return blank_sweep(self._dataset, sequence, index, points=0)


def posed(dataset: Dataset, poses: str | None, out: str, chosen: Sequence[str]) -> Dataset:
    """Return a dataset without its poses, where it can be read so, else with poses as of ``iscc-preprocess run``."""
    free = without_poses(dataset)
    return prepare(dataset, poses, out, chosen, quiet=True) if free is dataset else free
