"""The tasks of one sequence: each reads its input from disk and writes its output atomically.

A task returns little, so that it can be repeated, moved to another worker and interrupted. Results that are there
already, under the same key, are kept. Nothing is stored that was made while one of its input files changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.manifest import BlockEntry
from iscc_lidar.preprocess.describe.finish_block import FinishedSweep, finish_sweeps
from iscc_lidar.preprocess.plan.inputs import Inputs, read_inputs, refuse_different, unchanged
from iscc_lidar.preprocess.plan.sequence_job import SequenceJob, block_key, ids_key, segment_key
from iscc_lidar.preprocess.segment.linking import SweepLabels, sequence_labels
from iscc_lidar.preprocess.segment.segment_block import labels_of, link_sequence, segment_block
from iscc_lidar.preprocess.segment.sweeps import WindowBuffer, remove_ground
from iscc_lidar.preprocess.tasks.progress import report_sweeps
from iscc_lidar.preprocess.tasks.step_files import has_step, read_step, write_step
from iscc_lidar.preprocess.write.block import find_block, write_block

SEGMENT_SHARE = 0.55
"""Share of a sweep's work in the segmentation pass, for the progress bar."""


@dataclass(frozen=True)
class Segmented:
    """A segmented block: the key of its result, and its input files as they were."""

    key: str
    inputs: Inputs


@dataclass(frozen=True)
class Finished:
    """A finished block: its manifest entry, and the names of the intermediate files that it was made from."""

    entry: BlockEntry
    steps: tuple[str, ...]


def segment_task(job: SequenceJob, block: int) -> Segmented:
    """Run the segmentation pass over a block."""
    inputs = read_inputs(job, block)
    key = segment_key(job, block, inputs.sha256)
    name = job.segmented_file(block, key)
    if not has_step(job.store, name, key):
        dataset, sequence, config = job.dataset, job.sequence, job.config
        sweeps = WindowBuffer(lambda i: remove_ground(dataset.read(sequence, i), config.range, config.ground))
        with unchanged(job, block, inputs):
            arrays = segment_block(sweeps, job.blocks[block], config.clustering, config.linking)
        write_step(job.store, name, key, arrays)
    report_sweeps(SEGMENT_SHARE * job.own_sweeps(block))
    return Segmented(key, inputs)


def link_task(job: SequenceJob, segmented: list[Segmented]) -> str:
    """Link all windows of a sequence after all its blocks are segmented; returns the key of the ids."""
    key = ids_key(job, [block.key for block in segmented])
    if not has_step(job.store, job.ids_file(key), key):
        names = (job.segmented_file(number, block.key) for number, block in enumerate(segmented))
        steps = (read_step(job.store, name, block.key) for name, block in zip(names, segmented, strict=True))
        ids = link_sequence(steps, job.config.linking)
        write_step(job.store, job.ids_file(key), key, {f"window_{k}": ids_k for k, ids_k in enumerate(ids)})
    return key


def finish_task(job: SequenceJob, block: int, segmented: list[Segmented], ids: str) -> Finished:
    """Run the finishing pass over a block, and write it."""
    around, inputs = job.blocks_around(block), segmented[block].inputs
    for k in around:
        refuse_different(job, inputs, segmented[k].inputs)
    ids_of_sweep, ids_sha256 = _ids_around(job, around, ids)
    key = block_key(job, block, inputs.sha256, [segmented[k].key for k in around], ids_sha256)
    folder = job.block_folder(block, key)
    windows, config = job.blocks[block], job.config
    digest = find_block(job.store, folder, key)
    if digest is None:
        sweeps = range(windows[0].start, windows[-1].stop)
        labels: SweepLabels = {}
        for k in around:
            arrays = read_step(job.store, job.segmented_file(k, segmented[k].key), segmented[k].key)
            labels |= sequence_labels(labels_of(arrays, "own", sweeps), ids_of_sweep)
        finished = finish_sweeps(job.dataset, job.sequence, windows, labels, config.motion, config.queries, config.seed)
        digest = write_block(job.store, folder, _unchanged(job, block, inputs, finished), key)
    report_sweeps((1 - SEGMENT_SHARE) * job.own_sweeps(block))
    entry = BlockEntry(folder, windows[0].own_start, windows[-1].own_stop, digest)
    return Finished(entry, (job.segmented_file(block, segmented[block].key), job.ids_file(ids)))


def _unchanged(
    job: SequenceJob, block: int, inputs: Inputs, finished: Iterator[FinishedSweep]
) -> Iterator[FinishedSweep]:
    """Pass on the sweeps of a block. Raises UserError at the end where an input file is not as it was segmented."""
    with unchanged(job, block, inputs):
        yield from finished


def _ids_around(job: SequenceJob, blocks: list[int], key: str) -> tuple[dict[int, NDArray[np.int32]], str]:
    """Read the ids of the windows of some blocks, by the sweeps that the windows own, and their SHA-256."""
    arrays = read_step(job.store, job.ids_file(key), key)
    digest = hashlib.sha256()
    before = sum(len(job.blocks[k]) for k in range(blocks[0]))
    windows = [window for k in blocks for window in job.blocks[k]]
    ids: dict[int, NDArray[np.int32]] = {}
    for number, window in enumerate(windows, start=before):
        of_window: NDArray[np.int32] = arrays[f"window_{number}"]
        digest.update(of_window.tobytes())
        ids |= dict.fromkeys(range(window.own_start, window.own_stop), of_window)
    return ids, digest.hexdigest()
