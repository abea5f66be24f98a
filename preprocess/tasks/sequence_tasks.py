"""The tasks of one sequence: each reads its input from disk and writes its output atomically.

A task returns little, so that it can be repeated, moved to another worker and interrupted. Results that are there
already, under the same key, are kept. Nothing is stored that was made while one of its input files changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.manifest import BlockEntry, SequenceEntry
from iscc_lidar.preprocess.describe.finish_block import FinishedSweep, finish_sweeps
from iscc_lidar.preprocess.plan.inputs import Inputs, read_inputs, refuse_different, unchanged
from iscc_lidar.preprocess.plan.left_out import LeftOut, find_left_out, read_sweep
from iscc_lidar.preprocess.plan.sequence_job import SequenceJob, block_key, ids_key, segment_key
from iscc_lidar.preprocess.segment.linking import SweepLabels, sequence_labels
from iscc_lidar.preprocess.segment.segment_block import labels_of, link_sequence, segment_block
from iscc_lidar.preprocess.segment.sweeps import WindowBuffer, consider
from iscc_lidar.preprocess.tasks.progress import report_sweeps
from iscc_lidar.preprocess.tasks.step_files import has_step, read_step, write_step
from iscc_lidar.preprocess.track.sequence import track_sequence
from iscc_lidar.preprocess.write.block import find_block, write_block

SEGMENT_SHARE = 0.6
TRACK_SHARE = 0.1
"""Shares of a sweep's work in the segmentation pass, and in that over the boxes, for the progress bar."""


@dataclass(frozen=True)
class Segmented:
    """A segmented block: the key of its result, its input files as they were, and the sweeps left out, by index."""

    key: str
    inputs: Inputs
    left_out: Mapping[int, LeftOut]


@dataclass(frozen=True)
class Finished:
    """A finished block: its manifest entry, the intermediate files that it was made from, the sweeps left out."""

    entry: BlockEntry
    steps: tuple[str, ...]
    left_out: Mapping[int, LeftOut]


def segment_task(job: SequenceJob, block: int) -> Segmented:
    """Run the segmentation pass over a block."""
    inputs = read_inputs(job, block)
    key, left_out = _segment_key(job, block, inputs)
    name = job.segmented_file(block, key)
    if not has_step(job.store, name, key):
        config = job.config
        sweeps = WindowBuffer(lambda i: consider(read_sweep(job, block, i, left_out), config.range))
        with unchanged(job, block, inputs):
            arrays = segment_block(sweeps, job.blocks[block], config.ground, config.clustering, config.linking)
        write_step(job.store, name, key, arrays)
    report_sweeps(SEGMENT_SHARE * job.own_sweeps(block))
    return Segmented(key, inputs, left_out)


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
    around, inputs, left_out = job.blocks_around(block), segmented[block].inputs, segmented[block].left_out
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
        finished = finish_sweeps(
            lambda i: read_sweep(job, block, i, left_out), windows, labels, config.motion, config.queries, config.seed
        )
        digest = write_block(job.store, folder, _unchanged(job, block, inputs, finished), key)
    report_sweeps((1 - SEGMENT_SHARE - TRACK_SHARE) * job.own_sweeps(block))
    entry = BlockEntry(folder, windows[0].own_start, windows[-1].own_stop, digest)
    steps = (job.segmented_file(block, segmented[block].key), job.ids_file(ids))
    return Finished(entry, steps, {i: why for i, why in left_out.items() if entry.start <= i < entry.stop})


def track_task(job: SequenceJob, finished: list[Finished]) -> tuple[BlockEntry, ...]:
    """Put boxes around the groups after all blocks of a sequence are finished; returns their entries."""
    entry = SequenceEntry(job.sequence, job.sweeps, job.windows, tuple(block.entry for block in finished))
    return track_sequence(job.store, entry, lambda sweeps: report_sweeps(TRACK_SHARE * sweeps))


def _segment_key(job: SequenceJob, block: int, inputs: Inputs) -> tuple[str, dict[int, LeftOut]]:
    """Return the key of a block's segmentation, and the sweeps that are left out of it."""
    key = segment_key(job, block, inputs.sha256, {})
    if not job.skip_sweeps or has_step(job.store, job.segmented_file(block, key), key):
        return key, {}
    left_out = find_left_out(job.dataset, job.sequence, job.window_sweeps(block))
    points = {index: sweep.points for index, sweep in left_out.items()}
    return segment_key(job, block, inputs.sha256, points), left_out


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
