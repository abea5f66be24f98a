"""Compute the poses of a sequence by registering each sweep to those before it.

The method is KISS-ICP (Vizzo et al., RA-L 2023), of the package kiss-icp.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.datasets._folder.tracks import Track
from iscc_lidar.preprocess.datasets.registry import Dataset, MayLackPoses
from iscc_lidar.shared.base.errors import UserError, missing_package

_MAX_RANGE_M: Final = 100.0
_MIN_RANGE_M: Final = 2.0  # nearer returns are the ego vehicle, as in segment/sweeps.py
_MIN_POINTS: Final = 100


def register_sweeps(dataset: Dataset, sequence: str) -> Track:
    """Return the poses of a sequence's sweeps, in the frame of the first: times and poses of the LiDAR.

    Where points have times, a sweep's pose is of its last point's. A sweep that cannot be read, or that has too few
    points, gets the pose that the motion before it leads to. The result is the same on every run.

    Raises:
        UserError: KISS-ICP is not installed, or no sweep can be read.
    """
    odometry = _kiss_icp()
    times: list[int] = []
    poses: list[NDArray[np.float64]] = []
    count = len(dataset.sweep_names(sequence))
    failures: list[UserError] = []
    for index in _bar(sequence, count):
        try:
            xyz, offset_s, sweep_ns = _points(dataset, sequence, index)
        except UserError as error:
            failures.append(error)
            continue
        if count == 1:  # as the frames of KITTI's object benchmark
            return Track(np.array([sweep_ns], np.int64), np.eye(4)[None], f"odometry of sequence {sequence}")
        if len(xyz) < _MIN_POINTS:
            continue
        offset_s = np.empty(0) if offset_s is None else np.clip(np.nan_to_num(offset_s), -1, 1)
        last_s = float(np.max(offset_s, initial=0)) if len(offset_s) else 0.0
        odometry.register_frame(xyz, offset_s)
        times.append(sweep_ns + round(last_s * 1e9))
        poses.append(odometry.last_pose.copy())
    if not poses:
        raise failures[0] if failures else UserError(f"sequence {sequence}: no sweep has {_MIN_POINTS} points")
    return Track(np.array(times, np.int64), np.array(poses), f"odometry of sequence {sequence}")


def _points(dataset: Dataset, sequence: str, index: int) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, int]:
    if isinstance(dataset, MayLackPoses):
        return dataset.read_unposed(sequence, index)
    sweep = dataset.read(sequence, index)
    valid = np.isfinite(sweep.xyz).all(axis=1) & sweep.xyz.any(axis=1)
    return sweep.xyz[valid].astype(np.float64), None, sweep.timestamp_ns


def _kiss_icp() -> Any:
    try:
        from kiss_icp.config import KISSConfig
        from kiss_icp.config.config import AdaptiveThresholdConfig, DataConfig, MappingConfig, RegistrationConfig
        from kiss_icp.kiss_icp import KissICP
    except ModuleNotFoundError:
        raise missing_package("--poses odometry", "kiss-icp", "odometry") from None
    config = KISSConfig(  # all of it, so that no environment variable changes the result
        out_dir="",
        data=DataConfig(max_range=_MAX_RANGE_M, min_range=_MIN_RANGE_M, deskew=True),
        mapping=MappingConfig(voxel_size=_MAX_RANGE_M / 100, max_points_per_voxel=20),
        registration=RegistrationConfig(max_num_iterations=500, convergence_criterion=1e-4, max_num_threads=1),
        adaptive_threshold=AdaptiveThresholdConfig(fixed_threshold=None, initial_threshold=2.0, min_motion_th=0.1),
    )
    return KissICP(config)


def _bar(sequence: str, count: int) -> Any:
    from tqdm import tqdm

    return tqdm(range(count), desc=f"odometry {sequence}", unit="sweep", leave=False)
