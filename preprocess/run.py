"""Run the offline stage over a data set: plan, two passes over every sequence, then the manifest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster
from tqdm import tqdm

from iscc_lidar.data_schemas.manifest import MANIFEST_FILE, Manifest, to_json
from iscc_lidar.preprocess.config import PreprocessConfig, config_key
from iscc_lidar.preprocess.datasets.registry import Dataset, data_options
from iscc_lidar.preprocess.progress import sweep_bar
from iscc_lidar.preprocess.segment.ground import settled
from iscc_lidar.preprocess.select import without_problems
from iscc_lidar.preprocess.sequence_job import (
    WORK_FOLDER,
    SequenceJob,
    block_entry,
    finish_task,
    is_finished,
    link_task,
    plan_sequence,
    segment_task,
    sequence_entry,
    sequence_key,
)
from iscc_lidar.shared.cache_reader import read_manifest
from iscc_lidar.shared.config import to_dict
from iscc_lidar.shared.errors import UserError
from iscc_lidar.shared.files import write_text
from iscc_lidar.shared.provenance import versions

CONFIG_FILE = "config.json"

Submit = Callable[..., Any]
"""``submit(function, *arguments)``: a future on Dask, the result itself in this process."""


def preprocess(
    dataset: Dataset,
    cache: Path,
    config: PreprocessConfig,
    workers: int = 0,
    scheduler: str | None = None,
    sequences: Sequence[str] | None = None,
    skip_broken: bool = False,
) -> Manifest:
    """Make or complete a cache of a data set.

    Args:
        dataset: where the sweeps come from.
        cache: folder of the cache.
        config: options; another configuration than the cache's redoes it.
        workers: processes on this machine, 0 to work in this one.
        scheduler: address of a running Dask scheduler to use instead.
        sequences: those to add, by default all; what the cache holds already stays and is brought up to date.
        skip_broken: leave sequences out whose data have a problem, instead of refusing to start.

    Returns:
        The manifest, which has been written last.

    Raises:
        UserError: for bad input, or a cache folder that holds something else.
    """
    refuse_foreign(cache, dataset)
    config = replace(config, ground=settled(config.ground))  # what is recorded is what was done
    wanted = _with_held(dataset, cache, dataset.sequences() if sequences is None else sequences)
    wanted = without_problems(dataset, wanted, skip_broken)
    jobs = [plan_sequence(dataset, sequence, cache, config) for sequence in wanted]
    with _client(workers, scheduler) as client:
        submit = _run_here if client is None else client.submit
        checks = [submit(sequence_key, job, **_impure(client)) for job in jobs]
        keys = _results(tqdm(checks, desc="checksums of the input", unit="sequence", leave=False))
        todo = [(job, key) for job, key in zip(jobs, keys, strict=True) if not is_finished(job, key)]
        if todo:
            (cache / MANIFEST_FILE).unlink(missing_ok=True)  # blocks that it vouches for are about to change
            with sweep_bar(sum(job.sweeps for job, _ in todo), client):
                _results([f for job, key in todo for f in _submit_sequence(submit, client, job, key)])
    return _finalise(dataset, cache, config, jobs)


def refuse_foreign(cache: Path, dataset: Dataset) -> None:
    """Raise UserError where the cache's folder holds another data set's cache, or no cache at all."""
    if (cache / MANIFEST_FILE).exists():
        held = read_manifest(cache).dataset
        if held != dataset.name:
            raise UserError(f"{cache}: holds a cache of {held}, not of {dataset.name}; pass another --cache")
    elif cache.exists():
        known = {CONFIG_FILE, WORK_FOLDER, "sequences"}
        strange = sorted(entry.name for entry in cache.iterdir() if entry.name not in known)
        if strange:
            raise UserError(f"{cache}: is not a cache, it holds {strange[0]}; pass an empty or new folder as --cache")


def _with_held(dataset: Dataset, cache: Path, wanted: Sequence[str]) -> list[str]:
    """The wanted sequences and those of the data set that the cache holds already, in the data set's order."""
    either = {folder.name for folder in (cache / "sequences").glob("*")}.union(wanted)
    return [name for name in dataset.sequences() if name in either]


def _submit_sequence(submit: Submit, client: Client | None, job: SequenceJob, key: str) -> list[Any]:
    pure = _impure(client)
    segmented = [submit(segment_task, job, key, block, **pure) for block in range(len(job.blocks))]
    ids = submit(link_task, job, key, segmented, **pure)
    return [submit(finish_task, job, key, block, ids, **pure) for block in range(len(job.blocks))]


def _finalise(dataset: Dataset, cache: Path, config: PreprocessConfig, jobs: list[SequenceJob]) -> Manifest:
    entries = [sequence_entry(job, [block_entry(job, b) for b in range(len(job.blocks))]) for job in jobs]
    manifest = Manifest(dataset.name, config_key(config, dataset), dataset.class_names, tuple(entries))
    _remove_stale(cache, {cache / block.path for entry in entries for block in entry.blocks})
    provenance = {
        "dataset": dataset.name,
        "data": data_options(dataset),
        "seed": config.seed,
        "config": to_dict(config),
        "versions": versions(),
    }
    write_text(cache / CONFIG_FILE, json.dumps(provenance, indent=1) + "\n")
    write_text(cache / MANIFEST_FILE, to_json(manifest))
    return manifest


def _remove_stale(cache: Path, current: set[Path]) -> None:
    shutil.rmtree(cache / WORK_FOLDER, ignore_errors=True)
    for folder in (cache / "sequences").glob("*/*"):
        if folder not in current:
            shutil.rmtree(folder)
    for folder in (cache / "sequences").glob("*"):
        if not any(folder.iterdir()):
            folder.rmdir()


@contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[Client | None]:
    if scheduler is None and workers == 0:
        yield None
        return
    cluster: Any = nullcontext(scheduler) if scheduler else _local_cluster(workers)
    with cluster as address, _connect(address) as client:
        print(f"Dask dashboard: {client.dashboard_link}", flush=True)
        yield client


def _local_cluster(workers: int) -> LocalCluster:
    # hdbscan holds the GIL most of the time: processes, one thread each.
    return LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, memory_limit=0, silence_logs=50)


def _connect(address: Any) -> Client:
    try:
        return Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        raise UserError(f"--scheduler {address}: no Dask scheduler answers there ({error})") from None


def _run_here(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def _impure(client: Client | None) -> dict[str, bool]:
    # Tasks write files, so Dask must not take an equal call's old result for this one's.
    return {} if client is None else {"pure": False}


def _results(submitted: Iterable[Any]) -> list[Any]:
    return [item.result() if hasattr(item, "result") else item for item in submitted]
