"""Spread the labels of some sweeps of a cache to all sweeps of their sequences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from iscc_lidar.data_schemas.manifest import MANIFEST_FILE
from iscc_lidar.data_schemas.spread import SPREAD_FILE, SpreadManifest, SpreadSequence
from iscc_lidar.preprocess.run.cluster import Probe, written_probe
from iscc_lidar.preprocess.run.executor import Executor, Submit, reachable_store, result_of, start_executor
from iscc_lidar.preprocess.spread.rule import SpreadConfig
from iscc_lidar.preprocess.spread.tasks import SpreadJob, count_task, spread_task
from iscc_lidar.preprocess.tasks.progress import sweep_bar
from iscc_lidar.shared.base.config import to_dict
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.provenance import versions
from iscc_lidar.shared.cache.label_fractions import SweepName
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.spread_folder import PARTS_FOLDER, refuse_foreign, write_manifest
from iscc_lidar.shared.layouts.formats.label_files import LabelFiles, LabelSource
from iscc_lidar.shared.store.local import LocalStore
from iscc_lidar.shared.store.store import Store


def spread(
    cache: Cache,
    store: Store,
    labelled: Sequence[SweepName],
    config: SpreadConfig,
    executor: Executor | None = None,
    files: LabelFiles | None = None,
) -> SpreadManifest:
    """Spread labels; returns the table of contents, which is written last.

    Args:
        cache: its groups, points and poses; and the labels, unless ``files`` has them.
        store: folder to write into.
        labelled: sweeps whose labels are spread, by sequence and name.
        config: options.
        executor: where the tasks run, by default in this process.
        files: labels that are not in the cache.

    Raises:
        UserError: a sweep has no label, the folder contains something else, or another process works on it.
    """
    labels, store = LabelSource(cache, files), reachable_store(store, executor)
    jobs = [
        SpreadJob(labels, store, config, sequence, indices)
        for sequence, indices in _by_sequence(cache, labelled, files).items()
    ]
    refuse_foreign(store)
    with store.claim() as check_claim:
        store.remove(SPREAD_FILE)
        sequences = tuple(_run(jobs, executor or Executor()))
        made_by = {"config": to_dict(config), "cache": cache.path, "versions": versions()}
        manifest = SpreadManifest(cache.digest, labels.class_names, sequences, made_by)
        check_claim()
        write_manifest(store, manifest)
    return manifest


def _run(jobs: Sequence[SpreadJob], executor: Executor) -> Iterable[SpreadSequence]:
    total = sum(job.cache.sequence(job.sequence).sweeps for job in jobs)
    with (
        _probe(jobs, executor) as probe,
        start_executor(executor, probe) as (submit, client),
        sweep_bar(total, client, "spread"),
    ):
        submitted = [_submit(submit, job) for job in jobs] if client is not None else None
        for number, job in enumerate(jobs):
            parts = submitted[number] if submitted is not None else _submit(submit, job)
            sweeps = job.cache.sequence(job.sequence).sweeps
            yield SpreadSequence(job.sequence, sweeps, job.labelled, tuple(result_of(part) for part in parts))


def _probe(jobs: Sequence[SpreadJob], executor: Executor) -> AbstractContextManager[Probe | None]:
    if executor.scheduler is None or not jobs:
        return nullcontext()
    job, cache = jobs[0], jobs[0].cache.store
    inputs = [cache.root / MANIFEST_FILE] if isinstance(cache, LocalStore) else []
    if job.labels.files is not None:
        inputs.append(job.labels.files.file(job.sequence, job.cache.sweep_name(job.sequence, job.labelled[0])))
    return written_probe(job.store, PARTS_FOLDER, inputs)


def _submit(submit: Submit, job: SpreadJob) -> list[Any]:
    evidence = submit(count_task, job)
    return [submit(spread_task, job, stretch, evidence) for stretch in job.stretches]


def _by_sequence(cache: Cache, labelled: Sequence[SweepName], files: LabelFiles | None) -> dict[str, tuple[int, ...]]:
    """Return the indices of the labelled sweeps of each sequence. Raises UserError for a sweep without labels."""
    found: dict[str, list[int]] = {}
    for sequence, name in labelled:
        found.setdefault(sequence, []).append(cache.sweep_names(sequence).index(name))
    if files is None:
        for sequence, indices in found.items():
            without = sorted({*indices} - {*cache.labelled_sweeps(sequence), *cache.boxed_sweeps(sequence)})
            if without:
                name = cache.sweep_name(sequence, without[0])
                raise UserError(
                    f"{cache.path}: sweep {sequence}/{name} has no labels ({len(without)} of the listed ones of this "
                    "sequence have none); list labelled sweeps, or pass the folder of their labels as --labels"
                )
    return {sequence: tuple(sorted(set(indices))) for sequence, indices in sorted(found.items())}
