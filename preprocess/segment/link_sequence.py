"""Between the two passes: give every group of a sequence one id, whichever window found it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.segment.linking import (
    LinkingConfig,
    SweepLabels,
    assign_sequence_ids,
    link_shared_sweeps,
)
from iscc_lidar.preprocess.segment.segment_block import Arrays, labels_of


def link_sequence(segmented: Iterable[Arrays], config: LinkingConfig) -> list[NDArray[np.int32]]:
    """Return the sequence id of each group of each window, given the segmentation results of all blocks in order."""
    counts: list[int] = []
    links: list[NDArray[np.int32]] = []
    last: SweepLabels | None = None
    for arrays in segmented:
        if last is not None:
            links.append(link_shared_sweeps(last, labels_of(arrays, "first"), config))
        windows = arrays["group_counts"].tolist()
        counts.extend(windows)
        links.extend(arrays[f"links_{k}"] for k in range(len(windows) - 1))
        last = labels_of(arrays, "last")
    return assign_sequence_ids(counts, links)
