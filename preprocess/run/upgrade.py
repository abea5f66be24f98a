"""Add boxes to a cache of format 2.0; its blocks, and so all labels and ids, stay as they are."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from iscc_lidar.data_schemas.manifest import MANIFEST_FILE, BlockEntry, SequenceEntry, to_json
from iscc_lidar.preprocess.plan.sequence_job import STEPS_FOLDER
from iscc_lidar.preprocess.run.cluster import Probe, written_probe
from iscc_lidar.preprocess.run.executor import Executor, reachable_store, result_of, start_executor
from iscc_lidar.preprocess.tasks.progress import report_sweeps, sweep_bar
from iscc_lidar.preprocess.track.sequence import track_sequence
from iscc_lidar.shared.cache.reader import read_manifest
from iscc_lidar.shared.store.local import LocalStore
from iscc_lidar.shared.store.store import Store


def upgrade_cache(store: Store, executor: Executor | None = None) -> int:
    """Add what a finished cache lacks; returns to how many sequences.

    The manifest is replaced last. Raises UserError if there is no cache, it is damaged, or another process works on it.
    """
    executor = executor or Executor()
    store = reachable_store(store, executor)
    read_manifest(store)  # before the claim writes there
    with store.claim() as check_claim:
        manifest, _ = read_manifest(store)
        lacking = [entry for entry in manifest.sequences if not entry.tracks]
        if not lacking:
            return 0
        total = sum(entry.sweeps for entry in lacking)
        with (
            _probe(store, executor) as probe,
            start_executor(executor, probe) as (submit, client),
            sweep_bar(total, client, "boxes"),
        ):
            submitted = [submit(_track, store, entry) for entry in lacking]
            found = {entry.name: result_of(tracks) for entry, tracks in zip(lacking, submitted, strict=True)}
        entries = tuple(replace(entry, tracks=found.get(entry.name, entry.tracks)) for entry in manifest.sequences)
        check_claim()
        store.write(MANIFEST_FILE, to_json(replace(manifest, sequences=entries)).encode())
    return len(lacking)


def _track(store: Store, entry: SequenceEntry) -> tuple[BlockEntry, ...]:
    return track_sequence(store, entry, report_sweeps)


def _probe(store: Store, executor: Executor) -> AbstractContextManager[Probe | None]:
    if executor.scheduler is None:
        return nullcontext()
    return written_probe(store, STEPS_FOLDER, [store.root / MANIFEST_FILE] if isinstance(store, LocalStore) else [])
