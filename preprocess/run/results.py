"""Results of sequences: intermediate files while parts of a cache are processed, the manifest at the end."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from iscc_lidar.data_schemas.manifest import (
    BLOCK_FILE,
    MANIFEST_FILE,
    BlockEntry,
    Manifest,
    SequenceEntry,
    SkippedSequence,
    to_json,
)
from iscc_lidar.data_schemas.names import is_cache_file, is_work_file
from iscc_lidar.preprocess.datasets.registry import data_options
from iscc_lidar.preprocess.plan.cache_plan import Plan
from iscc_lidar.preprocess.plan.sequence_job import STEPS_FOLDER, SequenceJob, config_key
from iscc_lidar.shared.base.config import to_dict
from iscc_lidar.shared.base.provenance import versions
from iscc_lidar.shared.cache.verify import remove_block
from iscc_lidar.shared.store.store import LinkedError, Store


@dataclass(frozen=True)
class SequenceResult:
    """Result of a sequence.

    Attributes:
        entry: its entry in the manifest.
        steps: names of the intermediate files that it was made from.
        left_out: one entry in the manifest for each of its sweeps that was left out.
    """

    entry: SequenceEntry | SkippedSequence
    steps: tuple[str, ...] = ()
    left_out: tuple[SkippedSequence, ...] = ()


def save_result(job: SequenceJob, result: SequenceResult) -> None:
    """Write the result of a sequence to an intermediate file."""
    key = "skipped" if isinstance(result.entry, SkippedSequence) else "entry"
    content: dict[str, Any] = {key: dataclasses.asdict(result.entry), "steps": result.steps}
    content["left_out"] = [dataclasses.asdict(sweep) for sweep in result.left_out]
    job.store.write(job.result_file, (json.dumps(content, indent=1) + "\n").encode())


def load_result(job: SequenceJob) -> SequenceResult | None:
    """Read the result of a sequence; None where it is missing or damaged."""
    try:
        content = json.loads(job.store.read(job.result_file))
        if "skipped" in content:
            return SequenceResult(SkippedSequence(**content["skipped"]))
        blocks, tracks = (tuple(BlockEntry(**one) for one in content["entry"][name]) for name in ("blocks", "tracks"))
        entry = SequenceEntry(job.sequence, job.sweeps, job.windows, blocks, tracks)
        left_out = tuple(SkippedSequence(**sweep) for sweep in content["left_out"])
        return SequenceResult(entry, tuple(content["steps"]), left_out)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def write_manifest(plan: Plan, store: Store, results: Sequence[SequenceResult]) -> Manifest:
    """Write the manifest of a cache, then remove the blocks and intermediate files that it no longer needs."""
    entries = tuple(result.entry for result in results if isinstance(result.entry, SequenceEntry))
    skipped = plan.skipped + tuple(r.entry for r in results if isinstance(r.entry, SkippedSequence))
    skipped += tuple(sweep for result in results for sweep in result.left_out)
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
    # Only now: until here readers of the previous manifest could read its blocks.
    blocks = {block.path for entry in entries for block in entry.blocks + entry.tracks}
    steps = {step for result in results for step in result.steps}
    _remove_stale(store, blocks, steps)
    return manifest


def _remove_stale(store: Store, blocks: set[str], steps: set[str]) -> None:
    """Remove blocks and steps of earlier runs; foreign files and what is reached through links stay."""
    stored = {name.rpartition("/")[0] for name in store.files("sequences") if name.endswith(f"/{BLOCK_FILE}")}
    for folder in sorted({f"sequences/{block}" for block in stored} - blocks):
        if is_cache_file(f"{folder}/{BLOCK_FILE}"):
            remove_block(store, folder)
    for name in (f"{STEPS_FOLDER}/{name}" for name in store.files(STEPS_FOLDER)):
        if name not in steps and is_work_file(name):
            with suppress(LinkedError):
                store.remove(name)
