"""Join labels without points to the raw files that they are of: the cache that they were exported from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np

from iscc_lidar.data_schemas.labels_only import LABELS_FILE
from iscc_lidar.data_schemas.manifest import MANIFEST_FILE, BlockEntry, Manifest, SequenceEntry, to_json
from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import Dataset, absolute, data_options
from iscc_lidar.preprocess.describe.finish_block import FinishedSweep, finish_sweeps
from iscc_lidar.preprocess.plan.left_out import blank_sweep
from iscc_lidar.preprocess.plan.plausibility import describe_error
from iscc_lidar.preprocess.plan.sequence_job import STEPS_FOLDER
from iscc_lidar.preprocess.run.cluster import Probe, written_probe
from iscc_lidar.preprocess.run.executor import Executor, reachable_store, result_of, start_executor
from iscc_lidar.preprocess.tasks.progress import report_sweeps, sweep_bar
from iscc_lidar.preprocess.track.sequence import track_sequence
from iscc_lidar.preprocess.write.block import find_block, quantise, quantise_intensity, write_block
from iscc_lidar.shared.base.config import differences, from_dict
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.text import one_line
from iscc_lidar.shared.cache.block import row_checksum
from iscc_lidar.shared.cache.labels_only import LabelledSweep, LabelsOnly
from iscc_lidar.shared.cache.target import refuse_foreign
from iscc_lidar.shared.store.local import LocalStore
from iscc_lidar.shared.store.store import Store

_TRACK_SHARE: Final = 0.3
_ADVICE: Final = "it is another version of the data, or was changed: get the raw files that the labels are of"


@dataclass(frozen=True)
class _Job:
    """A sequence to join: its labels, raw sweeps, and what queries and motion were computed with."""

    labels: LabelsOnly
    dataset: Dataset
    store: Store
    config: PreprocessConfig
    sequence: str

    @cached_property
    def left_out(self) -> frozenset[str]:
        """Names of the sweeps that could not be read when they were labelled; all their points are ignored."""
        reasons = [s.reason for s in self.labels.manifest.cache.skipped if s.name == self.sequence]
        begins = [reason.removeprefix("sweep ") for reason in reasons if reason.startswith("sweep ")]
        return frozenset(n for n in self.dataset.sweep_names(self.sequence) for b in begins if b.startswith(f"{n}: "))


def join_labels(
    labels: LabelsOnly,
    dataset: Dataset,
    store: Store,
    executor: Executor | None = None,
    sequences: Sequence[str] | None = None,
) -> Manifest:
    """Make a cache of labels without points and of raw sweeps; returns its manifest, which is written last.

    Points, intensity, classes, labelled boxes and cameras are the dataset's; labels, poses and times those that were
    exported. Groups, occupancy queries and boxes of groups are computed as before. With the same versions of the
    libraries that write files it is the same cache, to the byte. What is finished is kept after an interruption.

    Args:
        labels: without points.
        dataset: its sweeps; their poses do not matter.
        store: where the cache is written.
        executor: where the tasks run, by default in this process.
        sequences: only these; by default all that have labels.

    Raises:
        UserError: another dataset, other options of it, or raw sweeps that differ from those that were labelled.
    """
    refuse_foreign(store)
    made = labels.manifest.cache
    if store.exists(MANIFEST_FILE):
        raise UserError(f"{store.url}: is a finished cache; choose an empty or new folder")
    config = _check(labels, dataset)
    wanted = [labels.sequence(name) for name in dict.fromkeys(sequences or [entry.name for entry in made.sequences])]
    for entry in wanted:
        _check_names(labels, dataset, entry)
    executor = executor or Executor()
    store = reachable_store(store, executor)
    if executor.scheduler is not None:
        dataset, labels = absolute(dataset), LabelsOnly(reachable_store(labels.store, executor).url)
    with store.claim() as check_claim:
        jobs = [_Job(labels, dataset, store, config, entry.name) for entry in wanted]
        total = sum(entry.sweeps for entry in wanted)
        with (
            _probe(store, labels, executor) as probe,
            start_executor(executor, probe) as (submit, client),
            sweep_bar(total, client, "join"),
        ):
            submitted = [submit(_join, job) for job in jobs]
            entries: tuple[SequenceEntry, ...] = tuple(map(result_of, submitted))
        named = {entry.name for entry in entries}
        manifest = replace(made, sequences=entries, skipped=tuple(s for s in made.skipped if s.name in named))
        check_claim()
        store.write(MANIFEST_FILE, to_json(manifest).encode())
    return manifest


def _check(labels: LabelsOnly, dataset: Dataset) -> PreprocessConfig:
    """Return the options of the cache. Raises UserError for another dataset, and for other options of it."""
    made = labels.manifest.cache
    if (made.dataset, made.class_names) != (dataset.name, dataset.class_names):
        raise UserError(
            f"{labels.path}: are of the dataset {one_line(made.dataset)} with {len(made.class_names)} classes, not of "
            f"{dataset.name} with {len(dataset.class_names)}"
        )
    recorded = made.made_by.get("data", {})
    changed = differences(recorded if isinstance(recorded, dict) else {}, data_options(dataset))
    if changed:
        raise UserError(
            f"{labels.path}: the sweeps were read with other options of {dataset.name}: "
            f"{one_line('; '.join(changed)):.400}; pass those there with --data"
        )
    config = made.made_by.get("config")
    if not isinstance(config, dict):
        raise UserError(f"{labels.path}/{LABELS_FILE}: does not say with which options the cache was made")
    options = from_dict(PreprocessConfig, config, f"{labels.path}/{LABELS_FILE}")
    if any(w.stop - w.start > options.window.sweeps for entry in made.sequences for w in entry.windows):
        raise UserError(f"{labels.path}/{LABELS_FILE}: has windows of more sweeps than its own options allow")
    for entry in made.sequences:
        if not {block.start for block in entry.blocks} <= {window.own_start for window in entry.windows}:
            raise UserError(
                f"{labels.path}/{LABELS_FILE}: the windows of sequence {entry.name} are not those of its blocks"
            )
    return options


def _check_names(labels: LabelsOnly, dataset: Dataset, entry: SequenceEntry) -> None:
    """Raise UserError where the raw files of a sequence are not those of the sweeps that were labelled, by name."""
    if entry.name not in dataset.sequences():
        raise UserError(
            f"{dataset.name}: there is no sequence {one_line(entry.name)!r:.80} here, which {labels.path} labels; "
            "join only those that you have with --sequences"
        )
    here, labelled = list(dataset.sweep_names(entry.name)), labels.sweep_names(entry.name)
    if here != labelled:
        first = next((k for k, (a, b) in enumerate(zip(here, labelled, strict=False)) if a != b), None)
        other = (
            "" if first is None else f"; the first other one is {one_line(here[first])} here, {labelled[first]} there"
        )
        raise UserError(
            f"{dataset.name}: sequence {entry.name} has {len(here)} sweeps here, {len(labelled)} were labelled{other}"
        )


def _join(job: _Job) -> SequenceEntry:
    """Write the blocks of a sequence, then the boxes of its groups."""
    entry = job.labels.sequence(job.sequence)
    blocks = []
    for block in entry.blocks:
        key = job.labels.key(job.sequence, block)
        digest = find_block(job.store, block.path, key) or _write(job, entry, block, key)
        blocks.append(BlockEntry(block.path, block.start, block.stop, digest))
    joined = replace(entry, blocks=tuple(blocks), tracks=())
    return replace(joined, tracks=track_sequence(job.store, joined, lambda n: report_sweeps(_TRACK_SHARE * n)))


def _write(job: _Job, entry: SequenceEntry, block: BlockEntry, key: str) -> str:
    windows = tuple(w for w in entry.windows if block.start <= w.own_start < block.stop)
    stretch = range(windows[0].start, windows[-1].stop)
    labels = {index: job.labels.sweep(job.sequence, index).label for index in stretch}
    config = job.config
    finished = finish_sweeps(
        lambda index: _read(job, index, stretch), windows, labels, config.motion, config.queries, config.seed
    )
    return write_block(job.store, block.path, _reported(finished), key)


def _reported(sweeps: Iterator[FinishedSweep]) -> Iterator[FinishedSweep]:
    for sweep in sweeps:
        yield sweep
        report_sweeps(1 - _TRACK_SHARE)


def _read(job: _Job, index: int, stretch: range) -> Sweep:
    """Read a raw sweep and check that it is the one that was labelled; with the pose and time that it had then.

    One that was left out has invalid points, and pose and time of the nearest other of the block, as before.
    """
    labelled = job.labels.sweep(job.sequence, index)
    if labelled.name not in job.left_out:
        sweep = _raw(job, index)
        _check_points(job, sweep, labelled)
        return replace(sweep, world_SE3_sensor=labelled.world_SE3_sensor, timestamp_ns=labelled.timestamp_ns)
    names = job.dataset.sweep_names(job.sequence)
    others = (other for other in stretch if names[other] not in job.left_out)
    nearest = min(others, key=lambda other: abs(other - index), default=None)
    like = None if nearest is None else _read(job, nearest, stretch)
    return blank_sweep(job.dataset, job.sequence, index, len(labelled.label), like)


def _raw(job: _Job, index: int) -> Sweep:
    try:
        return job.dataset.read(job.sequence, index)
    except (OSError, MemoryError, UserError):
        raise
    except Exception as error:  # whatever a damaged file makes a reader raise
        raise UserError(describe_error(error, f"sequence {job.sequence}")) from None


def _check_points(job: _Job, sweep: Sweep, labelled: LabelledSweep) -> None:
    """Raise UserError where a raw sweep has other points than those that were labelled.

    What counts is what a cache stores of them, positions to 4 mm and intensity to 1/255, by its own checksums.
    """
    where = f"sequence {job.sequence}, sweep {labelled.name}"
    if len(sweep) != len(labelled.label):
        raise UserError(f"{where}: has {len(sweep)} points here, {len(labelled.label)} were labelled; {_ADVICE}")
    here: Mapping[str, Any] = {"xyz": quantise(sweep.xyz), "intensity": quantise_intensity(sweep.intensity)}
    for name, what in (("xyz", "positions"), ("intensity", "intensities")):
        if row_checksum(np.ascontiguousarray(here[name])) != labelled.checksums[name]:
            raise UserError(f"{where}: has other {what} here than the points that were labelled; {_ADVICE}")


def _probe(store: Store, labels: LabelsOnly, executor: Executor) -> AbstractContextManager[Probe | None]:
    if executor.scheduler is None:
        return nullcontext()
    files = [labels.store.root / LABELS_FILE] if isinstance(labels.store, LocalStore) else []
    return written_probe(store, STEPS_FOLDER, files)
