"""Sweeps to predict: those of a cache, or of a dataset's own files."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from iscc_lidar.data_schemas.boxes import Camera
from iscc_lidar.data_schemas.manifest import Manifest
from iscc_lidar.shared.cache.sweep import CachedSweep, SweepField


class SweepSource(Protocol):
    """What a prediction needs of a cache; ``Cache`` is one."""

    @property
    def path(self) -> str:
        """Where it is, for messages."""

    @property
    def manifest(self) -> Manifest:
        """Its dataset and class names."""

    def sweep_names(self, sequence: str) -> Sequence[str]:
        """Return the names of a sequence's sweeps, by index."""

    def sweep(self, sequence: str, index: int, without: Collection[SweepField] = ()) -> CachedSweep:
        """Read one sweep, or all but some fields of it."""

    def camera(self, sequence: str, index: int) -> Camera | None:
        """Read the camera in which a sweep's boxes were labelled; None without one."""
