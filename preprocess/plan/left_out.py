"""Sweeps that cannot be used: each keeps its place in the sequence, with points that are all ignored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from iscc_lidar.data_schemas.sweep import Sweep, SweepError
from iscc_lidar.preprocess.datasets.registry import Dataset
from iscc_lidar.preprocess.plan.sequence_job import SequenceJob
from iscc_lidar.shared.base.errors import UserError


@dataclass(frozen=True)
class LeftOut:
    """A sweep that is left out: the number of its points, 0 where it is not known, and the reason."""

    points: int
    reason: str


def find_left_out(dataset: Dataset, sequence: str, sweeps: Iterable[int]) -> dict[int, LeftOut]:
    """Read sweeps of a sequence; returns those that are damaged or not valid, by index."""
    found: dict[int, LeftOut] = {}
    for index in sweeps:
        try:
            dataset.read(sequence, index)
        except SweepError as error:
            found[index] = LeftOut(error.points, str(error))
        except UserError as error:
            found[index] = LeftOut(0, str(error))
    return found


def only_sweeps(dataset: Dataset, sequence: str, problems: Sequence[str]) -> bool:
    """Return whether the problems of a sequence are those of single sweeps, without which it can be used."""
    try:
        sweeps = range(len(dataset.sweep_names(sequence)))
    except UserError:
        return False
    left_out = find_left_out(dataset, sequence, sweeps)
    return len(left_out) < len(sweeps) and set(problems) <= {sweep.reason for sweep in left_out.values()}


def read_sweep(job: SequenceJob, block: int, index: int, left_out: Mapping[int, LeftOut]) -> Sweep:
    """Read a sweep; one that is left out has invalid points, and pose and time of the nearest other of the block."""
    if index not in left_out:
        return job.dataset.read(job.sequence, index)
    others = [other for other in job.window_sweeps(block) if other not in left_out]
    nearest = min(others, key=lambda other: abs(other - index), default=None)
    like = None if nearest is None else job.dataset.read(job.sequence, nearest)
    points = left_out[index].points
    return Sweep(
        sequence=job.sequence,
        name=job.dataset.sweep_names(job.sequence)[index],
        timestamp_ns=0 if like is None else like.timestamp_ns,
        xyz=np.full((points, 3), np.nan, np.float32),
        intensity=np.zeros(points, np.float32),
        origin=np.zeros((1, 3), np.float32),
        world_SE3_sensor=np.eye(4) if like is None else like.world_SE3_sensor,
        pixel=None if like is None or like.pixel is None else np.zeros((points, 4), np.uint16),
    )
