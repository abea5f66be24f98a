"""A cache as a mapping of sequences, each a sequence of sweeps whose arrays are read when used."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes
from iscc_lidar.data_schemas.tables import GROUPS
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.text import counted
from iscc_lidar.shared.cache import reader
from iscc_lidar.shared.cache.sweep import CachedSweep as StoredSweep
from iscc_lidar.shared.cache.sweep import GroupBoxes, Queries, point_confidence


class Cache:
    """A cache that ``iscc-preprocess run`` or ``preprocess`` made. Iterates over the names of its sequences."""

    def __init__(self, where: Path | str) -> None:
        """Open a cache by its folder or URL. Raises UserError if it is missing, or this version cannot read it."""
        self._reader = reader.Cache(where)

    @property
    def path(self) -> str:
        """Its folder or URL."""
        return self._reader.path

    @property
    def dataset(self) -> str:
        """Name of the dataset that it was made from."""
        return self._reader.manifest.dataset

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the semantic classes by index; 0 is unlabelled."""
        return self._reader.manifest.class_names

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """Sequences that were left out, or of which sweeps were, each with the reason."""
        return tuple((skipped.name, skipped.reason) for skipped in self._reader.manifest.skipped)

    def __getitem__(self, name: str) -> CachedSequence:
        """Return a sequence by its name. Raises UserError for an unknown name."""
        return CachedSequence(self._reader, name)

    def __contains__(self, name: object) -> bool:
        return name in self._reader.sequence_names

    def __iter__(self) -> Iterator[str]:
        return iter(self._reader.sequence_names)

    def __len__(self) -> int:
        return len(self._reader.sequence_names)

    def __repr__(self) -> str:
        return f"<Cache {self.path}: {self.dataset}, {counted(len(self), 'sequence')}>"


class CachedSequence:
    """A sequence of a cache. Iterates over its sweeps."""

    def __init__(self, cache: reader.Cache, name: str) -> None:
        self._reader, self._entry = cache, cache.sequence(name)

    @property
    def name(self) -> str:
        """Its name."""
        return self._entry.name

    @property
    def groups(self) -> pa.Table:
        """Its groups, one row per group and sweep: sweep, group, points, moving, centroid, box_min, box_max.

        Positions are metres in the world frame; see data_schemas/FORMAT.md.
        """
        tables = [block.group_rows for block in self._reader.blocks(self.name)]
        return pa.concat_tables(tables) if tables else GROUPS.empty_table()

    def tracks(self, labels: str | Path | None = None) -> pa.Table:
        """Describe its groups, one row per group; ``to_pandas()`` makes a data frame of it.

        Args:
            labels: folder of labels, such as ``iscc-cache import`` writes, for the column ``class``.

        Returns:
            ``group``; ``class``, that of most of its labelled points, null without any; ``moving``, whether it moves
            at some time; ``points`` on all sweeps; ``confidence`` that it is one object; ``size`` of its box: length,
            width, height, metres; and lists of the same length: ``sweeps``, their indices, ``centre`` and ``heading``
            of its box there, metres and radians, world frame. Without boxes, before format 2.1, these are null.

        Raises:
            UserError: labels that are missing, of other classes or of other points.
        """
        from iscc_lidar.api.tracks import track_table

        return track_table(self._reader, self.name, labels)

    @overload
    def __getitem__(self, index: int) -> CachedSweep: ...
    @overload
    def __getitem__(self, index: slice) -> list[CachedSweep]: ...
    def __getitem__(self, index: int | slice) -> CachedSweep | list[CachedSweep]:
        """Return a sweep by its position, from 0, or from the end if negative; or several by a slice.

        Raises UserError for a position that it does not have.
        """
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise UserError(f"{self._reader.path}: sequence {self.name} has {len(self)} sweeps, none at {index}")
        return CachedSweep(self._reader, self.name, index % len(self))

    def __iter__(self) -> Iterator[CachedSweep]:
        return (self[index] for index in range(len(self)))

    def __len__(self) -> int:
        return self._entry.sweeps

    def __repr__(self) -> str:
        return f"<CachedSequence {self.name}: {counted(len(self), 'sweep')}>"


class CachedSweep:
    """A sweep of a cache, every point of the raw file in its order; each array is read when first used."""

    sequence: str
    index: int

    def __init__(self, cache: reader.Cache, sequence: str, index: int) -> None:
        self._reader, self.sequence, self.index = cache, sequence, index

    @cached_property
    def name(self) -> str:
        """The dataset's own name of the sweep."""
        return self._stored.name

    @cached_property
    def points(self) -> NDArray[np.float32]:
        """Points float32 [N, 4]: x, y, z in metres in the sensor's frame, exact to 2 mm, and intensity 0..1."""
        return np.column_stack([self._stored.xyz, self._stored.intensity])

    @cached_property
    def label(self) -> NDArray[np.int32]:
        """Label of each point, int32 [N]: group ID, or -1 noise, -2 ground, -3 ignored."""
        return self._reader.label(self.sequence, self.index)

    @cached_property
    def classes(self) -> NDArray[np.uint8] | None:
        """Semantic class of each point, uint8 [N], an index into the cache's class names; None without labels."""
        has = "semantic" in self._reader.block(self.sequence, self.index).array_names
        return self._reader.classes(self.sequence, self.index) if has else None

    @cached_property
    def pose(self) -> NDArray[np.float64]:
        """Pose float64 [4, 4]: takes the sensor's frame to the world's, which is fixed in a sequence."""
        return self._stored.world_SE3_sensor

    @cached_property
    def groups(self) -> pa.Table:
        """Its groups: the rows of ``CachedSequence.groups`` of this sweep."""
        import pyarrow.compute as pc

        rows = self._reader.block(self.sequence, self.index).group_rows
        return rows.filter(pc.field("sweep") == self.index)

    @cached_property
    def group_boxes(self) -> GroupBoxes | None:
        """Boxes around its groups, found without labels, in the sensor's frame, in the order of ``groups``.

        None in a cache of format 2.0; ``iscc-cache upgrade`` adds them.
        """
        return self._reader.group_boxes(self.sequence, self.index)

    @cached_property
    def confidence(self) -> NDArray[np.float32] | None:
        """How sure it is that each point is of one object with the rest of its group, float32 [N], 0..1.

        0 for points in no group; None where there are no ``group_boxes``.
        """
        boxes = self.group_boxes
        return None if boxes is None else point_confidence(self._stored.xyz, self.label, boxes)

    @cached_property
    def boxes(self) -> Boxes | None:
        """Labelled boxes in the sensor's frame; None if the dataset has none."""
        return self._reader.boxes(self.sequence, self.index)

    @cached_property
    def queries(self) -> Queries:
        """Occupancy queries near its groups, in the sensor's frame."""
        return self._reader.queries(self.sequence, self.index)

    @cached_property
    def _stored(self) -> StoredSweep:
        return self._reader.sweep(self.sequence, self.index, without=("semantic", "queries", "pixel"))

    def __len__(self) -> int:
        return len(self.label)

    def __repr__(self) -> str:
        return f"<CachedSweep {self.sequence}/{self.name}: {len(self):,} points>"
