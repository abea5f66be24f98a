"""The tasks of one sequence: count the classes of its groups, then spread to stretches of its sweeps.

A task reads the cache and writes its part in one step. A part that is there already, made of the same, is kept.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from iscc_lidar.data_schemas.spread import FROM_LABEL, FROM_NOTHING, ROWS, SOURCES, SpreadPart, SpreadPoints
from iscc_lidar.preprocess.plan.sequence_job import digest_of
from iscc_lidar.preprocess.spread.evidence import GroupVotes, Places, count_votes, gather_places
from iscc_lidar.preprocess.spread.rule import SpreadConfig, spread_to
from iscc_lidar.preprocess.tasks.progress import report_sweeps
from iscc_lidar.shared.base.config import to_dict
from iscc_lidar.shared.base.geometry import transform
from iscc_lidar.shared.base.parquet import read_table
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.spread_labels import read_rows
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.shared.layouts.formats.label_files import LabelSource
from iscc_lidar.shared.store.store import Store

STRETCH: Final = 16
"""Sweeps of a task: its memory, and that of the part it writes, do not grow with the sequence."""
_AROUND_M: Final = 120.0
_MOST_LABELLED: Final = 16
"""Labelled sweeps that a stretch looks at: the nearest ones within ``_AROUND_M``."""
_KEY: Final = b"iscc_key"
_LAST_PLACES: Final[dict[tuple[str, tuple[int, ...]], Places]] = {}
"""By what they are made of: the stretches of a sequence mostly look at the same labelled sweeps."""


@dataclass(frozen=True)
class SpreadJob:
    """A sequence to spread to.

    Attributes:
        labels: the cache with its points, groups and poses, and the labels.
        store: where the parts are written.
        config: options.
        sequence: its name.
        labelled: indices of its labelled sweeps, ascending.
    """

    labels: LabelSource
    store: Store
    config: SpreadConfig
    sequence: str
    labelled: tuple[int, ...]

    @property
    def cache(self) -> Cache:
        """Its points, groups and poses."""
        return self.labels.cache

    @property
    def classes(self) -> int:
        """Number of classes, unlabelled included."""
        return len(self.labels.class_names)

    @property
    def stretches(self) -> list[tuple[int, int]]:
        """Where each task begins and ends."""
        sweeps = self.cache.sequence(self.sequence).sweeps
        return [(start, min(start + STRETCH, sweeps)) for start in range(0, sweeps, STRETCH)]


@dataclass(frozen=True)
class SequenceEvidence:
    """What the tasks of a sequence share: the classes of its groups, where its sensor is [S, 3], the digest of all."""

    votes: GroupVotes
    sensor: NDArray[np.float64]
    key: str


def count_task(job: SpreadJob) -> SequenceEvidence:
    """Count the classes of the groups of a sequence in its labelled sweeps."""
    cache, entry = job.cache, job.cache.sequence(job.sequence)
    sensor: list[NDArray[np.float64]] = []
    for block in cache.blocks(job.sequence):
        sensor += [np.reshape(pose, (4, 4))[:3, 3] for pose in block.sweeps["world_SE3_sensor"].to_pylist()]
    labels = [(cache.label(job.sequence, index), job.labels.read(job.sequence, index)) for index in job.labelled]
    votes = count_votes(labels, cache.moving_groups(job.sequence), job.classes)
    read = [hashlib.sha256(classes.tobytes()).hexdigest() for _, classes in labels]
    blocks = [block.digest for block in entry.blocks]
    return SequenceEvidence(
        votes, np.array(sensor), digest_of([to_dict(job.config), job.sequence, job.labelled, blocks, read, job.classes])
    )


def spread_task(job: SpreadJob, stretch: tuple[int, int], evidence: SequenceEvidence) -> SpreadPart:
    """Spread labels to a stretch of sweeps, and write them."""
    start, stop = stretch
    path = f"sequences/{job.sequence}/part_{start:06d}.parquet"
    content = _find(job, path, stretch, evidence.key)
    if content is None:
        content = _encode(_spread_stretch(job, stretch, evidence), evidence.key)
        job.store.write(path, content)
    report_sweeps(stop - start)
    sources = read_table(pa.BufferReader(content), ["source"])["source"].to_pylist()
    points = np.bincount(np.frombuffer(b"".join(sources), np.uint8), minlength=len(SOURCES))
    return SpreadPart(path, start, stop, hashlib.sha256(content).hexdigest(), tuple(points.tolist()))


def _find(job: SpreadJob, path: str, stretch: tuple[int, int], key: str) -> bytes | None:
    """Read a part that is there, undamaged and made of the same; None without one."""
    try:
        content = job.store.read(path)
    except FileNotFoundError:
        return None
    try:
        if _key_of(content) != key:
            return None
        read_rows(content, *stretch, job.classes)
    except (ValueError, OSError, pa.ArrowException):  # the second for a wrong checksum
        return None
    return content


def _spread_stretch(
    job: SpreadJob, stretch: tuple[int, int], evidence: SequenceEvidence
) -> Iterator[tuple[int, SpreadPoints]]:
    """Spread to all sweeps at once: most places are seen by several of them, and looked up once."""
    others = [index for index in range(*stretch) if index not in job.labelled]
    found: Iterator[SpreadPoints] = iter(())
    if others:
        read = [_world_and_label(job, index) for index in others]
        world, label = (np.concatenate(parts) for parts in zip(*read, strict=True))
        together = spread_to(world, label, evidence.votes, _places(job, stretch, evidence), job.config)
        found = _split(together, [len(label) for _, label in read])
    for index in range(*stretch):
        yield index, _own(job.labels.read(job.sequence, index)) if index in job.labelled else next(found)


def _split(points: SpreadPoints, sizes: Sequence[int]) -> Iterator[SpreadPoints]:
    for stop, size in zip(itertools.accumulate(sizes), sizes, strict=True):
        at = slice(stop - size, stop)
        yield SpreadPoints(points.classes[at], points.confidence[at], points.source[at])


def _places(job: SpreadJob, stretch: tuple[int, int], evidence: SequenceEvidence) -> Places:
    """Gather the labelled points near a stretch; those of the last one of this process are kept."""
    near = _nearest_labelled(job, stretch, evidence.sensor)
    key = evidence.key, tuple(near)
    if key not in _LAST_PLACES:
        votes = None if job.config.rule == "position" else evidence.votes
        places = gather_places(((*_world_and_label(job, k), job.labels.read(job.sequence, k)) for k in near), votes)
        _LAST_PLACES.clear()
        _LAST_PLACES[key] = places
    return _LAST_PLACES[key]


def _nearest_labelled(job: SpreadJob, stretch: tuple[int, int], sensor: NDArray[np.float64]) -> list[int]:
    """Return the labelled sweeps nearest to a stretch, those of one place in order of time."""
    labelled = np.array(job.labelled)
    gap = np.linalg.norm(sensor[labelled][:, None] - sensor[None, slice(*stretch)], axis=2).min(axis=1)
    order = np.lexsort((np.abs(labelled - sum(stretch) / 2), np.round(gap)))[:_MOST_LABELLED]
    return sorted(labelled[order[gap[order] <= _AROUND_M]].tolist())


def _world_and_label(job: SpreadJob, index: int) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    sweep: CachedSweep = job.cache.sweep(job.sequence, index, without=("semantic", "queries", "pixel"))
    world = transform(sweep.world_SE3_sensor, sweep.xyz)
    world[~sweep.xyz.any(axis=1)] = np.nan  # not valid
    return world, sweep.label


def _own(classes: NDArray[np.uint8]) -> SpreadPoints:
    source = np.where(classes > 0, FROM_LABEL, FROM_NOTHING).astype(np.uint8)
    return SpreadPoints(classes, (classes > 0).astype(np.float32), source)


def _encode(sweeps: Iterator[tuple[int, SpreadPoints]], key: str) -> bytes:
    rows: dict[str, list[Any]] = {name: [] for name in ROWS.names}
    for index, found in sweeps:
        sure = np.rint(255 * found.confidence).astype(np.uint8)
        rows["sweep"].append(index)
        rows["points"].append(len(found.classes))
        for name, values in (("classes", found.classes), ("confidence", sure), ("source", found.source)):
            rows[name].append(values.tobytes())
    table = pa.table(rows, schema=ROWS.with_metadata({_KEY: key.encode()}))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", use_dictionary=False, write_page_checksum=True)
    return bytes(sink.getvalue())


def _key_of(content: bytes) -> str:
    with pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True, pre_buffer=False) as file:
        file.read(use_threads=False)
        key: bytes = (file.schema_arrow.metadata or {}).get(_KEY, b"")
        return key.decode("ascii", "replace")
