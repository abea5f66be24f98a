"""One sequence to process: how it is cut, what each step depends on, and where its result lies.

Every step's result is named by a key, the SHA-256 over all that it depends on: what is there under its key need not be
made again, and what has another key is another thing. So an interrupted run goes on, a changed input file or option
redoes what depends on it and nothing else, and a finished cache stays as it is until the next one is complete.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

from iscc_lidar.data_schemas.manifest import FORMAT_MAJOR, FORMAT_MINOR
from iscc_lidar.data_schemas.window import Window
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import Dataset, data_options
from iscc_lidar.preprocess.segment.windows import plan_blocks, plan_windows
from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.config import to_dict
from iscc_lidar.shared.store.store import Store

STEPS_FOLDER: Final = ".steps"
"""Results of the steps before the last. They are not part of a cache; without them more is done anew."""
ALGORITHM: Final = 3
"""To be raised whenever the same input and options give another result than before."""
_SHORT: Final = 16
"""Hexadecimal digits of a key that a name has."""


@dataclass(frozen=True)
class SequenceJob:
    """One sequence to process.

    Attributes:
        dataset: where its sweeps come from.
        sequence: its name.
        sweeps: their number.
        blocks: its windows, in order, by the block that they are stored in.
        store: where the cache lies.
        config: options.
    """

    dataset: Dataset
    sequence: str
    sweeps: int
    blocks: tuple[tuple[Window, ...], ...]
    store: Store
    config: PreprocessConfig

    @property
    def windows(self) -> tuple[Window, ...]:
        """All windows, in order."""
        return tuple(window for block in self.blocks for window in block)

    @property
    def steps_folder(self) -> str:
        """Where the results of the sequence's steps lie."""
        return f"{STEPS_FOLDER}/{self.sequence}"

    def block_folder(self, block: int, key: str) -> str:
        """Folder of a finished block."""
        return f"sequences/{self.sequence}/block_{block:04d}-{key[:_SHORT]}"

    def segmented_file(self, block: int, key: str) -> str:
        """The first pass's result for a block."""
        return f"{self.steps_folder}/segmented_{block:04d}-{key[:_SHORT]}.npz"

    def ids_file(self, key: str) -> str:
        """The ids of all windows."""
        return f"{self.steps_folder}/ids-{key[:_SHORT]}.npz"

    def own_sweeps(self, block: int) -> int:
        """Number of sweeps that a block holds."""
        windows = self.blocks[block]
        return windows[-1].own_stop - windows[0].own_start

    def around(self, block: int) -> list[int]:
        """The blocks that hold a sweep of this one's windows, itself among them."""
        start, stop = self.blocks[block][0].start, self.blocks[block][-1].stop
        return [k for k, b in enumerate(self.blocks) if b[0].own_start < stop and b[-1].own_stop > start]


def plan_sequence(dataset: Dataset, sequence: str, store: Store, config: PreprocessConfig) -> SequenceJob:
    """Cut a sequence into windows and blocks."""
    sweeps = len(dataset.sweep_names(sequence))
    blocks = plan_blocks(plan_windows(sweeps, config.window), config.window)
    return SequenceJob(dataset, sequence, sweeps, blocks, store, config)


def input_digest(job: SequenceJob, block: int) -> str:
    """SHA-256 over the content of every file that the sweeps in a block's windows depend on, and the sweeps' names."""
    start, stop = job.blocks[block][0].start, job.blocks[block][-1].stop
    names = job.dataset.sweep_names(job.sequence)[start:stop]
    found = dict.fromkeys(f for index in range(start, stop) for f in job.dataset.input_files(job.sequence, index))
    return _digest([job.dataset.name, data_options(job.dataset), job.sequence, start, stop, names], *_contents(found))


def segment_key(job: SequenceJob, block: int, input_sha256: str) -> str:
    """What a block's first pass depends on."""
    sections = {name: to_dict(job.config)[name] for name in ("range", "ground", "clustering", "linking")}
    return _digest([ALGORITHM, [_bounds(window) for window in job.blocks[block]], sections, input_sha256])


def ids_key(job: SequenceJob, segment_keys: list[str]) -> str:
    """What the ids of a sequence's groups depend on."""
    return _digest([ALGORITHM, to_dict(job.config)["linking"], segment_keys])


def block_key(job: SequenceJob, block: int, input_sha256: str, segment_keys: list[str], ids_sha256: str) -> str:
    """What a finished block depends on; keys are those of the blocks around, ids those of their windows."""
    form = f"{FORMAT_MAJOR}.{FORMAT_MINOR}"
    windows = [_bounds(window) for window in job.blocks[block]]
    return _digest([ALGORITHM, form, to_dict(job.config), windows, input_sha256, segment_keys, ids_sha256])


def config_key(config: PreprocessConfig, dataset: Dataset) -> str:
    """What a cache depends on besides its sweeps."""
    form = f"{FORMAT_MAJOR}.{FORMAT_MINOR}"
    return _digest([ALGORITHM, form, dataset.name, data_options(dataset), to_dict(config)])


def _contents(found: dict[Any, None]) -> list[str]:
    return [f"{file.name} {files.sha256(file)}" for file in found]


def _bounds(window: Window) -> list[int]:
    return [window.start, window.stop, window.own_start, window.own_stop]


def _digest(content: list[Any], *more: str) -> str:
    return hashlib.sha256(json.dumps([content, more], sort_keys=True).encode()).hexdigest()
