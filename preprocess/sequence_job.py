"""The steps of one sequence as tasks: each reads its input from disk and writes its output in one step.

A task returns little, so that it can be repeated, moved to another worker and interrupted. What an
earlier run has written from the same input lies under the same key and is kept.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.manifest import BLOCK_FILE, BlockEntry, SequenceEntry
from iscc_lidar.data_schemas.window import Window
from iscc_lidar.preprocess.config import PreprocessConfig, config_key
from iscc_lidar.preprocess.datasets.registry import Dataset
from iscc_lidar.preprocess.describe.finish_block import finish_sweeps
from iscc_lidar.preprocess.progress import report_sweeps
from iscc_lidar.preprocess.segment.link_sequence import link_sequence, load_ids, save_ids
from iscc_lidar.preprocess.segment.linking import SweepLabels, sequence_labels
from iscc_lidar.preprocess.segment.segment_block import load_segmented, save_segmented, segment_block
from iscc_lidar.preprocess.windows import plan_blocks, plan_windows
from iscc_lidar.preprocess.write_block import block_key, write_block
from iscc_lidar.shared.files import sha256

WORK_FOLDER = ".work"
SEGMENT_SHARE = 0.7
"""Share of a sweep's work that the first pass does, for the progress bar."""


@dataclass(frozen=True)
class SequenceJob:
    """One sequence to process: where it comes from, how it is cut, where its files go."""

    dataset: Dataset
    sequence: str
    sweeps: int
    blocks: tuple[tuple[Window, ...], ...]
    cache: Path
    config: PreprocessConfig

    @property
    def windows(self) -> tuple[Window, ...]:
        """All windows, in order."""
        return tuple(window for block in self.blocks for window in block)

    def relative_folder(self, block: int) -> Path:
        """Folder of a block within the cache."""
        return Path("sequences") / self.sequence / f"block_{block:04d}"

    def folder(self, block: int) -> Path:
        """Folder of a block."""
        return self.cache / self.relative_folder(block)

    def work_folder(self, key: str) -> Path:
        """Folder of the work files that are made from the input with this key."""
        return self.cache / WORK_FOLDER / self.sequence / key[:16]

    def segmented_file(self, key: str, block: int) -> Path:
        """The first pass's result for a block."""
        return self.work_folder(key) / f"segmented_{block:04d}.npz"


def plan_sequence(dataset: Dataset, sequence: str, cache: Path, config: PreprocessConfig) -> SequenceJob:
    """Cut a sequence into windows and blocks."""
    sweeps = len(dataset.sweep_names(sequence))
    blocks = plan_blocks(plan_windows(sweeps, config.window), config.window)
    return SequenceJob(dataset, sequence, sweeps, blocks, cache, config)


def sequence_key(job: SequenceJob) -> str:
    """SHA-256 over the configuration and the content of every file that the sequence depends on."""
    digest = hashlib.sha256(config_key(job.config, job.dataset).encode())
    digest.update(job.sequence.encode())
    names = job.dataset.sweep_names(job.sequence)
    files = {file: None for index in range(len(names)) for file in job.dataset.input_files(job.sequence, index)}
    for file in files:
        digest.update(f"{file.name} {sha256(file)}\n".encode())
    return digest.hexdigest()


def is_finished(job: SequenceJob, key: str) -> bool:
    """Whether all blocks of the sequence are there, made from the input with this key."""
    return all(block_key(job.folder(block)) == key for block in range(len(job.blocks)))


def segment_task(job: SequenceJob, key: str, block: int) -> int:
    """First pass over a block; returns its number."""
    path = job.segmented_file(key, block)
    if not path.exists():
        save_segmented(path, segment_block(job.dataset, job.sequence, job.blocks[block], job.config))
    report_sweeps(SEGMENT_SHARE * _own_sweeps(job.blocks[block]))
    return block


def link_task(job: SequenceJob, key: str, segmented: list[int]) -> Path:
    """Link all windows of a sequence, once all its blocks are segmented; returns the file of ids."""
    path = job.work_folder(key) / "ids.npz"
    if not path.exists():
        save_ids(path, link_sequence([job.segmented_file(key, block) for block in segmented], job.config))
    return path


def finish_task(job: SequenceJob, key: str, block: int, ids: Path) -> BlockEntry:
    """Second pass over a block; returns its manifest entry."""
    windows = job.blocks[block]
    if block_key(job.folder(block)) != key:
        labels = _labels_around(job, key, block, load_ids(ids))
        sweeps = finish_sweeps(job.dataset, job.sequence, windows, labels, job.config)
        write_block(job.folder(block), sweeps, key)
    report_sweeps((1 - SEGMENT_SHARE) * _own_sweeps(windows))
    return block_entry(job, block)


def block_entry(job: SequenceJob, block: int) -> BlockEntry:
    """Manifest entry of a finished block."""
    windows = job.blocks[block]
    digest = sha256(job.folder(block) / BLOCK_FILE)
    return BlockEntry(str(job.relative_folder(block)), windows[0].own_start, windows[-1].own_stop, digest)


def sequence_entry(job: SequenceJob, blocks: list[BlockEntry]) -> SequenceEntry:
    """Manifest entry of a finished sequence."""
    return SequenceEntry(job.sequence, job.sweeps, job.windows, tuple(blocks))


def _labels_around(job: SequenceJob, key: str, block: int, ids: list[NDArray[np.int32]]) -> SweepLabels:
    """Sequence labels of all sweeps in a block's windows, which reach into the neighbouring blocks."""
    start, stop = job.blocks[block][0].start, job.blocks[block][-1].stop
    ids_of_sweep = {i: ids[k] for k, w in enumerate(job.windows) for i in range(w.own_start, w.own_stop)}
    labels: SweepLabels = {}
    for other, windows in enumerate(job.blocks):
        if windows[0].own_start < stop and windows[-1].own_stop > start:
            own = load_segmented(job.segmented_file(key, other)).own
            labels |= sequence_labels({i: own[i] for i in own if start <= i < stop}, ids_of_sweep)
    return labels


def _own_sweeps(windows: tuple[Window, ...]) -> int:
    return windows[-1].own_stop - windows[0].own_start
