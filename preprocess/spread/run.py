"""Spread the labels of some sweeps of a cache to all sweeps of their sequences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from iscc_lidar.data_schemas import spread as schema
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
from iscc_lidar.shared.base.text import one_line
from iscc_lidar.shared.cache.label_fractions import SweepName
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.layouts.formats.label_files import LabelFiles, LabelSource
from iscc_lidar.shared.store.local import LocalStore
from iscc_lidar.shared.store.store import Store

_PARTS: Final = "sequences"
_OWN: Final = frozenset({SPREAD_FILE, _PARTS, "quality.json", "quality.png", ".owner", ".aside"})


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
    _refuse_foreign(store)
    with store.claim() as check_claim:
        store.remove(SPREAD_FILE)
        sequences = tuple(_run(jobs, executor or Executor()))
        made_by = {"config": to_dict(config), "cache": cache.path, "versions": versions()}
        manifest = SpreadManifest(cache.digest, labels.class_names, sequences, made_by)
        check_claim()
        store.write(SPREAD_FILE, schema.to_json(manifest).encode())
        _remove_stale(store, manifest)
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
    return written_probe(job.store, _PARTS, inputs)


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


def _refuse_foreign(store: Store) -> None:
    """Raise UserError unless the folder is missing, empty, or has spread labels, finished or not."""
    names = store.names()
    foreign = [name for name in names if name not in _OWN]
    if not foreign and SPREAD_FILE not in names:
        foreign = [f for f in store.files(_PARTS) if not _is_part(f)] if _PARTS in names else []
    if foreign:
        raise UserError(
            f"{store.url}: contains {one_line(foreign[0])}, which is no part of spread labels; choose an empty or new "
            "folder"
        )


def _is_part(name: str) -> bool:
    part = name.count("/") == 1 and name.rpartition("/")[2].startswith("part_") and name.endswith(".parquet")
    return part or ("/" not in name and name.startswith("probe-"))


def _remove_stale(store: Store, manifest: SpreadManifest) -> None:
    """Remove parts of earlier runs that the labels no longer need."""
    needed = {part.path for sequence in manifest.sequences for part in sequence.parts}
    there = [name for name in store.files(_PARTS) if _is_part(name)]
    for name in there:
        if f"{_PARTS}/{name}" not in needed:
            store.remove(f"{_PARTS}/{name}")
    for folder in {name.partition("/")[0] for name in there if "/" in name} - {
        sequence.name for sequence in manifest.sequences
    }:
        if not store.files(f"{_PARTS}/{folder}"):
            store.remove(f"{_PARTS}/{folder}")
