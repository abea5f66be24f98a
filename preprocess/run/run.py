"""Run the offline stage over a data set: begin it, work through its sequences, finish it with the manifest."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from iscc_lidar.data_schemas.manifest import (
    BLOCK_FILE,
    MANIFEST_FILE,
    BlockEntry,
    Manifest,
    SequenceEntry,
    SkippedSequence,
    to_json,
)
from iscc_lidar.data_schemas.sweep import SweepError
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import Dataset, data_options
from iscc_lidar.preprocess.plan.plan import Plan, load_plan, make_plan, part_of, save_plan
from iscc_lidar.preprocess.plan.sequence_job import STEPS_FOLDER, SequenceJob, config_key
from iscc_lidar.preprocess.run.dask_engine import Engine, Submit, result_of, started
from iscc_lidar.preprocess.tasks.progress import sweep_bar
from iscc_lidar.preprocess.tasks.sequence_tasks import Finished, finish_task, link_task, segment_task
from iscc_lidar.shared.base.config import to_dict
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.provenance import versions
from iscc_lidar.shared.store.store import Store

OnError = Literal["stop", "skip"]
"""What a sequence whose data cannot be processed does to the others."""


@dataclass(frozen=True)
class Done:
    """What came of a sequence, and the names of the steps' files that it was made by."""

    entry: SequenceEntry | SkippedSequence
    steps: tuple[str, ...]


def preprocess(
    dataset: Dataset,
    store: Store,
    config: PreprocessConfig,
    engine: Engine | None = None,
    sequences: Sequence[str] | None = None,
    on_error: OnError = "stop",
) -> Manifest:
    """Make or complete a cache of a data set: begin, work, finish.

    Args:
        dataset: where the sweeps come from.
        store: where the cache lies.
        config: options; another configuration than the cache's redoes what depends on it.
        engine: where the work is done, by default in this process.
        sequences: those to add, by default all; what the cache holds already stays and is brought up to date.
        on_error: "skip" leaves out sequences whose data cannot be processed, and says so in the manifest.

    Returns:
        The manifest, which has been written last.

    Raises:
        UserError: for bad input, a cache folder that holds something else, or one that another process works on.
    """
    with store.claim() as must_hold:
        plan = make_plan(dataset, store, config, sequences, skip=on_error == "skip")
        save_plan(plan, store)
        done = list(_process(plan.jobs, engine or Engine(), on_error))
        must_hold()
        return _write_manifest(plan, store, done)


def begin(
    dataset: Dataset,
    store: Store,
    config: PreprocessConfig,
    sequences: Sequence[str] | None = None,
    on_error: OnError = "stop",
) -> Plan:
    """Say what a cache shall hold, for ``work`` and ``finalise``; arguments as of ``preprocess``."""
    with store.claim():
        plan = make_plan(dataset, store, config, sequences, skip=on_error == "skip")
        for job in plan.jobs:
            store.remove(_done_file(job))
        save_plan(plan, store)
        return plan


def work(
    dataset: Dataset,
    store: Store,
    config: PreprocessConfig,
    engine: Engine | None = None,
    part: tuple[int, int] = (1, 1),
    on_error: OnError = "stop",
) -> int:
    """Process the sequences of one part of a cache that was begun; other processes may do other parts meanwhile.

    ``part`` is its number, from 1, and that of the parts; other arguments are as of ``preprocess``, and the same as of
    ``begin``. Returns the number of sequences.
    """
    with store.claim(f"part-{part[0]}-of-{part[1]}") as must_hold:
        jobs = part_of(load_plan(dataset, store, config).jobs, *part)
        for job, done in zip(jobs, _process(jobs, engine or Engine(), on_error), strict=True):
            must_hold()
            store.write(_done_file(job), _done_json(done))
        return len(jobs)


def finalise(dataset: Dataset, store: Store, config: PreprocessConfig) -> Manifest:
    """Write the manifest of a cache all of whose parts are done; arguments as of ``begin``.

    Raises:
        UserError: something is missing; the message names it.
    """
    with store.claim() as must_hold:
        plan = load_plan(dataset, store, config)
        found = {job.sequence: _read_done(job) for job in plan.jobs}
        missing = [name for name, done in found.items() if done is None]
        if missing:
            raise UserError(
                f"{store.url}: not finished: {len(missing)} of {len(found)} sequences are missing: "
                f"{', '.join(missing[:8])}{' ...' if len(missing) > 8 else ''}; run the parts that hold them"
            )
        must_hold()
        return _write_manifest(plan, store, [done for done in found.values() if done is not None])


def _process(jobs: Sequence[SequenceJob], engine: Engine, on_error: OnError) -> Iterator[Done]:
    """What comes of each sequence, in order, each as soon as it is done."""
    with started(engine) as (submit, client), sweep_bar(sum(job.sweeps for job in jobs), client):
        blocks: list[Iterable[Any]] = [_submit(submit, job) for job in jobs]
        if client is not None:
            blocks = [list(submitted) for submitted in blocks]  # all at once; in this process one after the other
        for job, submitted in zip(jobs, blocks, strict=True):
            yield _collect(job, submitted, on_error)


def _submit(submit: Submit, job: SequenceJob) -> Iterator[Any]:
    """Submit the tasks of a sequence; yields the last of each block."""
    segmented = [submit(segment_task, job, block) for block in range(len(job.blocks))]
    ids = submit(link_task, job, segmented)
    for block in range(len(job.blocks)):
        yield submit(finish_task, job, block, segmented, ids)


def _collect(job: SequenceJob, submitted: Iterable[Any], on_error: OnError) -> Done:
    try:
        finished: list[Finished] = [result_of(item) for item in submitted]
    except OSError:  # of the disk or the network that all sequences share
        raise
    except Exception as error:
        if on_error == "stop" and isinstance(error, SweepError):
            raise UserError(f"{error}; mend its files, or leave such sequences out by --on-error skip") from None
        if on_error == "stop":
            raise
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        return Done(SkippedSequence(job.sequence, reason), ())
    steps = sorted({step for block in finished for step in block.steps})
    blocks = tuple(block.entry for block in finished)
    return Done(SequenceEntry(job.sequence, job.sweeps, job.windows, blocks), tuple(steps))


def _done_file(job: SequenceJob) -> str:
    return f"{job.steps_folder}/done.json"


def _done_json(done: Done) -> bytes:
    kind = "skipped" if isinstance(done.entry, SkippedSequence) else "entry"
    return (json.dumps({kind: dataclasses.asdict(done.entry), "steps": done.steps}, indent=1) + "\n").encode()


def _read_done(job: SequenceJob) -> Done | None:
    try:
        content = json.loads(job.store.read(_done_file(job)))
        if "skipped" in content:
            return Done(SkippedSequence(**content["skipped"]), ())
        blocks = tuple(BlockEntry(**block) for block in content["entry"]["blocks"])
        return Done(SequenceEntry(job.sequence, job.sweeps, job.windows, blocks), tuple(content["steps"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _write_manifest(plan: Plan, store: Store, done: Sequence[Done]) -> Manifest:
    entries = tuple(item.entry for item in done if isinstance(item.entry, SequenceEntry))
    skipped = plan.skipped + tuple(item.entry for item in done if isinstance(item.entry, SkippedSequence))
    made_by = {
        "data": data_options(plan.dataset),
        "seed": plan.config.seed,
        "config": to_dict(plan.config),
        "versions": versions(),
    }
    manifest = Manifest(
        plan.dataset.name, config_key(plan.config, plan.dataset), plan.dataset.class_names, entries, skipped, made_by
    )
    store.write(MANIFEST_FILE, to_json(manifest).encode())
    _remove_stale(
        store, {block.path for entry in entries for block in entry.blocks}, {s for d in done for s in d.steps}
    )
    return manifest


def _remove_stale(store: Store, blocks: set[str], steps: set[str]) -> None:
    """Remove what the manifest no longer leads to. Until now readers of the one before could read it."""
    held = {name.rpartition("/")[0] for name in store.files("sequences") if name.endswith(f"/{BLOCK_FILE}")}
    for folder in sorted(f"sequences/{block}" for block in held):
        if folder not in blocks:
            store.remove(folder)
    for name in store.files(STEPS_FOLDER):
        if f"{STEPS_FOLDER}/{name}" not in steps:
            store.remove(f"{STEPS_FOLDER}/{name}")
