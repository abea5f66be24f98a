"""Between the passes: give every group of a sequence one id, whatever window found it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.segment.linking import assign_sequence_ids, link_shared_sweeps
from iscc_lidar.preprocess.segment.segment_block import SegmentedBlock, load_segmented
from iscc_lidar.shared.files import write_npz


def link_sequence(segmented: list[Path], config: PreprocessConfig) -> list[NDArray[np.int32]]:
    """Ids of the sequence by window and window's id, from the work files of all blocks in order."""
    counts: list[int] = []
    links: list[NDArray[np.int32]] = []
    before: SegmentedBlock | None = None
    for path in segmented:
        block = load_segmented(path)
        if before is not None:
            links.append(link_shared_sweeps(before.last, block.first, config.linking))
        counts.extend(block.group_counts)
        links.extend(block.links)
        before = block
    return assign_sequence_ids(counts, links)


def save_ids(path: Path, ids: list[NDArray[np.int32]]) -> None:
    """Write the ids of all windows, whole or not at all."""
    write_npz(path, {f"window_{k}": ids_k for k, ids_k in enumerate(ids)})


def load_ids(path: Path) -> list[NDArray[np.int32]]:
    """Read the ids of all windows, in order."""
    with np.load(path, allow_pickle=False) as arrays:
        return [arrays[f"window_{k}"] for k in range(len(arrays.files))]
