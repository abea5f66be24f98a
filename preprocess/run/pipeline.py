"""Preprocess a dataset: in one run, or initialised, processed in parts and finalised by separate processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Literal

from iscc_lidar.data_schemas.manifest import Manifest, SequenceEntry, SkippedSequence
from iscc_lidar.data_schemas.sweep import SweepError
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import Dataset, absolute
from iscc_lidar.preprocess.plan.cache_plan import Plan, load_plan, make_plan, part_of, save_plan
from iscc_lidar.preprocess.plan.sequence_job import STEPS_FOLDER, SequenceJob
from iscc_lidar.preprocess.run.cluster import ClusterError, Probe, written_probe
from iscc_lidar.preprocess.run.executor import Executor, Submit, reachable_store, result_of, start_executor
from iscc_lidar.preprocess.run.results import SequenceResult, load_result, save_result, write_manifest
from iscc_lidar.preprocess.tasks.progress import sweep_bar
from iscc_lidar.preprocess.tasks.sequence_tasks import finish_task, link_task, segment_task, track_task
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.target import refuse_foreign
from iscc_lidar.shared.store.store import Store

OnError = Literal["stop", "skip"]
"""Whether sweeps and sequences whose data cannot be processed stop the run, or are left out."""


def preprocess(
    dataset: Dataset,
    store: Store,
    config: PreprocessConfig,
    executor: Executor | None = None,
    sequences: Sequence[str] | None = None,
    on_error: OnError = "stop",
    accept_content: bool = False,
) -> Manifest:
    """Make, complete or update the cache of a dataset; returns its manifest, which is written last.

    Args:
        dataset: where the sweeps come from.
        store: where the cache lies.
        config: options; what depends on an option that differs from the cache's is redone.
        executor: where the tasks run, by default in this process.
        sequences: those to add, by default all; sequences already in the cache are kept and updated.
        on_error: "skip" leaves out sweeps that cannot be used, which keep their place, and sequences that cannot be
            processed even so; both are listed in the manifest.
        accept_content: process data whose content is judged wrong, see ``plan.plausibility``.

    Raises:
        UserError: bad input, the folder contains something else, or another process works on it.
    """
    refuse_foreign(store)  # before the claim writes there
    dataset, store = _reachable(dataset, store, executor)
    with store.claim() as check_claim:
        plan = make_plan(dataset, store, config, sequences, skip=on_error == "skip", accept_content=accept_content)
        save_plan(plan, store)
        results = list(process_jobs(plan.jobs, executor, on_error))
        check_claim()
        return write_manifest(plan, store, results)


def init_cache(
    dataset: Dataset,
    store: Store,
    config: PreprocessConfig,
    sequences: Sequence[str] | None = None,
    on_error: OnError = "stop",
    accept_content: bool = False,
) -> Plan:
    """Save the plan of a cache for ``process_part`` and ``finalise_cache``; arguments as of ``preprocess``."""
    refuse_foreign(store)
    with store.claim():
        plan = make_plan(dataset, store, config, sequences, skip=on_error == "skip", accept_content=accept_content)
        for job in plan.jobs:
            store.remove(job.result_file)
        save_plan(plan, store)
        return plan


def process_part(
    dataset: Dataset,
    store: Store,
    config: PreprocessConfig,
    executor: Executor | None = None,
    part: tuple[int, int] = (1, 1),
    on_error: OnError = "stop",
) -> int:
    """Process the sequences of one part of an initialised cache; other processes may do other parts at the same time.

    ``part`` is (k, n) for part k of n, from 1; the other arguments are as of ``preprocess``, and must be those of
    ``init_cache``. Returns the number of sequences.
    """
    refuse_foreign(store)
    dataset, store = _reachable(dataset, store, executor)
    with store.claim(f"part-{part[0]}-of-{part[1]}") as check_claim:
        jobs = part_of(load_plan(dataset, store, config).jobs, *part)
        for job, result in zip(jobs, process_jobs(jobs, executor, on_error), strict=True):
            check_claim()
            save_result(job, result)
        return len(jobs)


def finalise_cache(dataset: Dataset, store: Store, config: PreprocessConfig) -> Manifest:
    """Write the manifest of a cache after all its parts are processed; arguments as of ``init_cache``.

    Raises UserError with the names of the sequences that are missing.
    """
    refuse_foreign(store)
    with store.claim() as check_claim:
        plan = load_plan(dataset, store, config)
        results = {job.sequence: load_result(job) for job in plan.jobs}
        missing = [name for name, result in results.items() if result is None]
        if missing:
            raise UserError(
                f"{store.url}: not finished: {len(missing)} of {len(results)} sequences are missing: "
                f"{', '.join(missing[:8])}{' ...' if len(missing) > 8 else ''}; run the parts that contain them"
            )
        check_claim()
        return write_manifest(plan, store, [result for result in results.values() if result is not None])


def process_jobs(
    jobs: Sequence[SequenceJob], executor: Executor | None = None, on_error: OnError = "stop"
) -> Iterator[SequenceResult]:
    """Process sequences; yields their results in order, each as soon as it is complete."""
    total, executor = sum(job.sweeps for job in jobs), executor or Executor()
    jobs = [replace(job, skip_sweeps=on_error == "skip") for job in jobs]
    with (
        _probe(jobs, executor) as probe,
        start_executor(executor, probe) as (submit, client),
        sweep_bar(total, client),
    ):
        blocks: list[Iterable[Any]] = [_submit(submit, job) for job in jobs]
        if client is not None:
            blocks = [list(submitted) for submitted in blocks]  # all at once; in this process one after the other
        for job, submitted in zip(jobs, blocks, strict=True):
            yield _collect(job, submitted, on_error)


def _reachable(dataset: Dataset, store: Store, executor: Executor | None) -> tuple[Dataset, Store]:
    """Make relative paths absolute for the workers of a running cluster, which have other working folders."""
    if executor is None or executor.scheduler is None:
        return dataset, store
    return absolute(dataset), reachable_store(store, executor)


def _probe(jobs: Sequence[SequenceJob], executor: Executor) -> AbstractContextManager[Probe | None]:
    if executor.scheduler is None or not jobs:
        return nullcontext()
    files = jobs[0].dataset.input_files(jobs[0].sequence, jobs[0].blocks[0][0].start)
    return written_probe(jobs[0].store, STEPS_FOLDER, files)


def _submit(submit: Submit, job: SequenceJob) -> Iterator[Any]:
    """Submit the tasks of a sequence; yields the last task of each block, then that of its boxes."""
    segmented = [submit(segment_task, job, block) for block in range(len(job.blocks))]
    ids = submit(link_task, job, segmented)
    finished = []
    for block in range(len(job.blocks)):
        finished.append(submit(finish_task, job, block, segmented, ids))
        yield finished[-1]
    yield submit(track_task, job, finished)


def _collect(job: SequenceJob, submitted: Iterable[Any], on_error: OnError) -> SequenceResult:
    try:
        *finished, tracks = [result_of(item) for item in submitted]
    except (OSError, ClusterError):  # of the disk, the network or the workers that all sequences share
        raise
    except Exception as error:
        if on_error == "stop" and isinstance(error, SweepError):
            raise UserError(f"{error}; fix its files, or leave such sweeps out with --on-error skip") from None
        if on_error == "stop":
            raise
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        return SequenceResult(SkippedSequence(job.sequence, reason))
    steps = sorted({step for block in finished for step in block.steps})
    left_out = _listed(job, {index: sweep.reason for block in finished for index, sweep in block.left_out.items()})
    if len(left_out) == job.sweeps:
        return SequenceResult(SkippedSequence(job.sequence, f"no sweep can be used; {left_out[0].reason}"))
    blocks = tuple(block.entry for block in finished)
    return SequenceResult(SequenceEntry(job.sequence, job.sweeps, job.windows, blocks, tracks), tuple(steps), left_out)


def _listed(job: SequenceJob, reasons: Mapping[int, str]) -> tuple[SkippedSequence, ...]:
    names = job.dataset.sweep_names(job.sequence)
    return tuple(SkippedSequence(job.sequence, f"sweep {names[index]}: {why}") for index, why in reasons.items())
