"""One sequence to process: how it is cut, what each stage depends on, and where its results lie.

The result of each stage is named by a key, the SHA-256 of all that it depends on, and is reused wherever the key is the
same. So an interrupted run continues, a changed input file or option redoes only what depends on it, and a finished
cache stays as it is until the next one is complete.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from iscc_lidar.data_schemas.manifest import FORMAT_MAJOR, FORMAT_MINOR, Window
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import Dataset, data_options, watched_files
from iscc_lidar.preprocess.segment.windows import plan_blocks, plan_windows
from iscc_lidar.shared.base.config import to_dict
from iscc_lidar.shared.store.store import Store

STEPS_FOLDER: Final = ".steps"
"""Folder of intermediate files. They are not part of the cache; without them a later run repeats more work."""
ALGORITHM: Final = 5
"""Raise this whenever the same input and options give another result than before."""
_FORMAT: Final = f"{FORMAT_MAJOR}.{FORMAT_MINOR}"
SHORT_KEY: Final = 16
"""Hexadecimal digits of a key in a file name."""


@dataclass(frozen=True)
class FileState:
    """Size and time of change of a file, which other hosts see alike."""

    path: Path
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class SequenceJob:
    """One sequence to process: ``sweeps`` sweeps of ``dataset``, for a cache in ``store``.

    ``blocks`` are its windows, in order, by the block that stores them; ``names_sha256`` is of the names of all sweeps
    that the sequence had when it was planned, ``watched`` the state of the input files that are too large to digest.
    ``skip_sweeps``: leave out sweeps that cannot be used.
    """

    dataset: Dataset
    sequence: str
    sweeps: int
    names_sha256: str
    watched: tuple[FileState, ...]
    blocks: tuple[tuple[Window, ...], ...]
    store: Store
    config: PreprocessConfig
    skip_sweeps: bool = False

    @property
    def windows(self) -> tuple[Window, ...]:
        """All windows, in order."""
        return tuple(window for block in self.blocks for window in block)

    @property
    def steps_folder(self) -> str:
        """Folder of the sequence's intermediate files."""
        return f"{STEPS_FOLDER}/{self.sequence}"

    @property
    def result_file(self) -> str:
        """File of the sequence's result while parts of a cache are processed."""
        return f"{self.steps_folder}/done.json"

    def block_folder(self, block: int, key: str) -> str:
        """Return the folder of a finished block."""
        return f"sequences/{self.sequence}/block_{block:04d}-{key[:SHORT_KEY]}"

    def segmented_file(self, block: int, key: str) -> str:
        """Return the file of a block's segmentation."""
        return f"{self.steps_folder}/segmented_{block:04d}-{key[:SHORT_KEY]}.npz"

    def ids_file(self, key: str) -> str:
        """Return the file of the group ids of all windows."""
        return f"{self.steps_folder}/ids-{key[:SHORT_KEY]}.npz"

    def window_sweeps(self, block: int) -> range:
        """Return the sweeps in a block's windows."""
        return range(self.blocks[block][0].start, self.blocks[block][-1].stop)

    def own_sweeps(self, block: int) -> int:
        """Count the sweeps that a block stores."""
        windows = self.blocks[block]
        return windows[-1].own_stop - windows[0].own_start

    def blocks_around(self, block: int) -> list[int]:
        """List the blocks that store a sweep of this block's windows, itself among them."""
        start, stop = self.blocks[block][0].start, self.blocks[block][-1].stop
        return [k for k, b in enumerate(self.blocks) if b[0].own_start < stop and b[-1].own_stop > start]


def plan_sequence(
    dataset: Dataset, sequence: str, store: Store, config: PreprocessConfig, sweeps: range | None = None
) -> SequenceJob:
    """Cut a sequence into windows and blocks, or only the given range of its sweeps."""
    names = dataset.sweep_names(sequence)
    sweeps = range(len(names)) if sweeps is None else sweeps
    blocks = plan_blocks(plan_windows(len(sweeps), config.window, sweeps.start), config.window)
    watched = tuple(file_state(file) for file in watched_files(dataset, sequence))
    return SequenceJob(dataset, sequence, len(sweeps), names_digest(names), watched, blocks, store, config)


def file_state(path: Path) -> FileState:
    """Return the state of a file now. Raises FileNotFoundError."""
    status = path.stat()
    return FileState(path, status.st_size, status.st_mtime_ns)


def segment_key(job: SequenceJob, block: int, input_sha256: str, left_out: Mapping[int, int]) -> str:
    """Return the key of a block's segmentation; ``left_out`` is the number of points of each sweep that is left out."""
    sections = {name: to_dict(job.config)[name] for name in ("range", "ground", "clustering", "linking")}
    blank = (f"sweep {index} left out, {points} points" for index, points in left_out.items())
    return digest_of([ALGORITHM, _bounds(job.blocks[block]), sections, input_sha256], *blank)


def ids_key(job: SequenceJob, segment_keys: list[str]) -> str:
    """Return the key of the ids of a sequence's groups."""
    return digest_of([ALGORITHM, to_dict(job.config)["linking"], segment_keys])


def block_key(job: SequenceJob, block: int, input_sha256: str, segment_keys: list[str], ids_sha256: str) -> str:
    """Return the key of a finished block.

    ``segment_keys`` are those of the blocks around it, ``ids_sha256`` is of the ids of their windows.
    """
    windows = _bounds(job.blocks[block])
    return digest_of([ALGORITHM, _FORMAT, to_dict(job.config), windows, input_sha256, segment_keys, ids_sha256])


def config_key(config: PreprocessConfig, dataset: Dataset) -> str:
    """Return the key of all that a cache depends on besides its sweeps."""
    return digest_of([ALGORITHM, _FORMAT, dataset.name, data_options(dataset), to_dict(config)])


def _bounds(windows: tuple[Window, ...]) -> list[list[int]]:
    return [[window.start, window.stop, window.own_start, window.own_stop] for window in windows]


def names_digest(names: Sequence[str]) -> str:
    """Return the SHA-256 of the names of a sequence's sweeps, in order."""
    return digest_of(list(names))


def digest_of(content: list[Any], *more: str) -> str:
    """Return the SHA-256 of plain values as JSON."""
    return hashlib.sha256(json.dumps([content, more], sort_keys=True).encode()).hexdigest()
