"""Group the points of sweeps in memory, as ``iscc-preprocess run`` does for a cache."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from iscc_lidar.api.checks import check_list, check_points, check_poses
from iscc_lidar.data_schemas.sweep import Sweep, SweepError
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.segment.linking import SweepLabels, sequence_labels
from iscc_lidar.preprocess.segment.segment_block import labels_of, link_sequence, segment_block
from iscc_lidar.preprocess.segment.sweeps import WindowBuffer, consider
from iscc_lidar.preprocess.segment.windows import plan_blocks, plan_windows
from iscc_lidar.shared.base.errors import UserError


def group_sweeps(sweeps: object, poses: object, config: PreprocessConfig, progress: bool) -> list[NDArray[np.int32]]:
    """Check and group sweeps; see ``functions.group``."""
    points = [check_points(found, f"sweeps[{index}]") for index, found in enumerate(check_list(sweeps, "sweeps"))]
    checked = check_poses(poses, len(points))

    def read(index: int) -> Sweep:
        xyz, intensity = np.ascontiguousarray(points[index][:, :3]), np.ascontiguousarray(points[index][:, 3])
        origin = np.zeros((1, 3), np.float32)
        return Sweep("sweeps", str(index), index, xyz, intensity, origin, checked[index])

    try:
        # One thread in native libraries, as in a worker of iscc-preprocess: the same sums.
        with threadpool_limits(1), tqdm(total=len(points), desc="group", unit="sweep", disable=not progress) as bar:
            labels = _label(read, len(points), config, bar)
    except SweepError as error:
        raise UserError(str(error)) from None
    return [labels[index] for index in range(len(points))]


def _label(read: Callable[[int], Sweep], sweeps: int, config: PreprocessConfig, bar: tqdm[None]) -> SweepLabels:
    windows = plan_windows(sweeps, config.window)
    buffer = WindowBuffer(lambda index: consider(read(index), config.range))
    segmented = []
    for block in plan_blocks(windows, config.window):
        segmented.append(segment_block(buffer, block, config.ground, config.clustering, config.linking))
        bar.update(block[-1].own_stop - block[0].own_start)
    ids = link_sequence(segmented, config.linking)
    ids_of_sweep = {
        index: of_window
        for window, of_window in zip(windows, ids, strict=True)
        for index in range(window.own_start, window.own_stop)
    }
    own: SweepLabels = {}
    for arrays in segmented:
        own |= labels_of(arrays, "own")
    return sequence_labels(own, ids_of_sweep)
