"""The plan of a cache: saved before processing, so that any number of processes can do parts of the same cache."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from iscc_lidar.data_schemas.manifest import MANIFEST_FILE, SkippedSequence
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import Dataset, data_options
from iscc_lidar.preprocess.plan.left_out import find_broken
from iscc_lidar.preprocess.plan.sequence_job import STEPS_FOLDER, SequenceJob, config_key, plan_sequence
from iscc_lidar.preprocess.segment import clustering
from iscc_lidar.shared.base.config import differences, to_dict
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import read_manifest
from iscc_lidar.shared.cache.target import refuse_foreign
from iscc_lidar.shared.store.store import Store

PLAN_FILE: Final = f"{STEPS_FOLDER}/plan.json"


@dataclass(frozen=True)
class Plan:
    """The sequences of a cache: those to process, in the dataset's order, and those left out for their problems.

    Every "auto" of the options is resolved.
    """

    dataset: Dataset
    config: PreprocessConfig
    jobs: tuple[SequenceJob, ...]
    skipped: tuple[SkippedSequence, ...]


def resolve_auto(config: PreprocessConfig) -> PreprocessConfig:
    """Replace every "auto" by what it means on this machine: the cache records what was done."""
    return replace(config, clustering=clustering.resolve_auto(config.clustering))


def make_plan(
    dataset: Dataset,
    store: Store,
    config: PreprocessConfig,
    sequences: Sequence[str] | None,
    *,
    skip: bool,
    accept_content: bool = False,
) -> Plan:
    """Check the data and cut sequences into windows: the requested ones, and those that the cache already contains.

    ``sequences`` are those to add, by default all; with ``skip`` those whose data have a problem are left out, unless
    the problem is of single sweeps; ``accept_content`` processes data whose content is judged wrong.

    Raises:
        UserError: bad input, or the folder contains something else than a cache of this dataset.
    """
    config = resolve_auto(config)
    cached = _cached_sequences(dataset, store)
    available = dataset.sequences()
    if gone := sorted(cached - set(available)):
        raise UserError(
            f"{store.url}: contains sequence {gone[0]}, which the data do not have; pass the data that it was made "
            "from, or another --cache"
        )
    either = cached.union(available if sequences is None else sequences)
    # Requested sequences that are not available have problems, which are reported.
    wanted = [*(name for name in available if name in either), *sorted(either.difference(available))]
    broken = find_broken(dataset, wanted, skip=skip, accept_content=accept_content)
    skipped = tuple(
        SkippedSequence(name, "; ".join(problem.message for problem in found)) for name, found in broken.items()
    )
    jobs = tuple(plan_sequence(dataset, name, store, config) for name in wanted if name not in broken)
    return Plan(dataset, config, jobs, skipped)


def save_plan(plan: Plan, store: Store) -> None:
    """Write a plan to the store."""
    content = {
        "config_key": config_key(plan.config, plan.dataset),
        "config": to_dict(plan.config),
        "data": data_options(plan.dataset),
        "sequences": {job.sequence: {"sweeps": job.sweeps, "names": job.names_sha256} for job in plan.jobs},
        "skipped": [asdict(skipped) for skipped in plan.skipped],
    }
    store.write(PLAN_FILE, (json.dumps(content, indent=1) + "\n").encode())


def load_plan(dataset: Dataset, store: Store, config: PreprocessConfig) -> Plan:
    """Read the plan of an initialised cache. Raises UserError where it is missing, or of other data or options."""
    config = resolve_auto(config)
    content = _read(store)
    if content["config_key"] != config_key(config, dataset):
        here = {**to_dict(config), "data": data_options(dataset)}
        changed = differences({**content.get("config", {}), "data": content.get("data", {})}, here)
        raise UserError(
            f"{store.url}: was initialised with other options or data"
            + "".join(f"\n- {line}" for line in changed)
            + f"\nPass those of init (--set, --data, --recipe), or run: iscc-preprocess init {dataset.name}"
        )
    jobs = tuple(plan_sequence(dataset, name, store, config) for name in content["sequences"])
    for job in jobs:
        planned = content["sequences"][job.sequence]
        if (job.sweeps, job.names_sha256) != (planned["sweeps"], planned["names"]):
            raise UserError(
                f"{store.url}: sequence {job.sequence} has {job.sweeps} sweeps, had {planned['sweeps']} when the cache "
                "was initialised, or has others; run: iscc-preprocess init"
            )
    return Plan(dataset, config, jobs, tuple(SkippedSequence(**item) for item in content["skipped"]))


def part_of(jobs: Sequence[SequenceJob], part: int, parts: int) -> tuple[SequenceJob, ...]:
    """Return part number ``part`` (from 1) of ``parts``: each sequence, longest first, goes to the smallest part."""
    shares: list[list[SequenceJob]] = [[] for _ in range(parts)]
    for job in sorted(jobs, key=lambda job: (-job.sweeps, job.sequence)):
        min(shares, key=lambda share: sum(other.sweeps for other in share)).append(job)
    return tuple(sorted(shares[part - 1], key=lambda job: jobs.index(job)))


def _cached_sequences(dataset: Dataset, store: Store) -> set[str]:
    """Return the sequences that the cache already contains. Raises UserError if the folder contains something else."""
    if store.exists(MANIFEST_FILE):
        manifest, _ = read_manifest(store)
        if manifest.dataset != dataset.name:
            raise UserError(
                f"{store.url}: is a cache of {manifest.dataset}, not of {dataset.name}; pass another --cache"
            )
        return {entry.name for entry in manifest.sequences}
    refuse_foreign(store)
    return set()


def _read(store: Store) -> dict[str, Any]:
    try:
        content = json.loads(store.read(PLAN_FILE))
        _ = content["config_key"], content["sequences"].items(), content["skipped"]
    except FileNotFoundError:
        raise UserError(
            f"{store.url}: was not initialised; run: iscc-preprocess init DATASET --cache {store.url}"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{store.url}/{PLAN_FILE}: damaged ({error}); run: iscc-preprocess init") from None
    found: dict[str, Any] = content
    return found
