"""Sweeps that cannot be used: each keeps its place in the sequence, with points that are all ignored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from iscc_lidar.data_schemas.sweep import Sweep, SweepError
from iscc_lidar.preprocess.datasets.registry import DataProblem, Dataset
from iscc_lidar.preprocess.plan.plausibility import describe_error
from iscc_lidar.preprocess.plan.select import find_problems, print_warnings, refuse_problems
from iscc_lidar.preprocess.plan.sequence_job import SequenceJob
from iscc_lidar.shared.base.errors import UserError


@dataclass(frozen=True)
class LeftOut:
    """A sweep that is left out: the number of its points, 0 where it is not known, and the reason."""

    points: int
    reason: str


def find_left_out(dataset: Dataset, sequence: str, sweeps: Iterable[int]) -> dict[int, LeftOut]:
    """Read sweeps of a sequence; returns those that are damaged or not valid, by index.

    Raises OSError, which is of the disk or the network, not of the sweep.
    """
    found: dict[int, LeftOut] = {}
    for index in sweeps:
        try:
            dataset.read(sequence, index)
        except (OSError, MemoryError):
            raise
        except Exception as error:  # whatever a damaged file makes a reader raise
            points = error.points if isinstance(error, SweepError) else 0
            found[index] = LeftOut(points, describe_error(error, f"sequence {sequence}"))
    return found


def find_broken(
    dataset: Dataset, sequences: Sequence[str], *, skip: bool, accept_content: bool = False, poses: bool = True
) -> dict[str, list[DataProblem]]:
    """Check sequences as ``find_problems``; returns those to leave out and their problems.

    With ``skip`` sequences are left out unless only some of their sweeps have problems. Raises UserError without
    ``skip`` for any problem, and where no sequence is left.
    """
    broken = find_problems(dataset, sequences, skip=skip, accept_content=accept_content, poses=poses)
    if skip:
        usable = [name for name, found in broken.items() if only_sweeps(dataset, name, found)]
        print_warnings([p.message for name in usable for p in broken[name] if not p.sweeps])
        broken = {name: found for name, found in broken.items() if name not in usable}
    if broken and (not skip or len(broken) == len(sequences)):
        refuse_problems(broken, can_skip=not skip)
    return broken


def only_sweeps(dataset: Dataset, sequence: str, problems: Sequence[DataProblem]) -> bool:
    """Return whether a sequence can be used without the sweeps that its problems name.

    Sweeps are left out where reading them fails. One that has a problem but can be read would be used in spite of it,
    so that the sequence is left out then. At least one sweep has to be sound.
    """
    if any(problem.sweeps is None for problem in problems):
        return False
    bad = {index for problem in problems for index in problem.sweeps or ()}
    with suppress(UserError, OSError):
        refused = find_left_out(dataset, sequence, sorted(bad))
        others = (index for index in range(len(dataset.sweep_names(sequence))) if index not in bad)
        return len(refused) == len(bad) and any(not find_left_out(dataset, sequence, [index]) for index in others)
    return False


def read_sweep(job: SequenceJob, block: int, index: int, left_out: Mapping[int, LeftOut]) -> Sweep:
    """Read a sweep; one that is left out has invalid points, and pose and time of the nearest other of the block."""
    if index not in left_out:
        return job.dataset.read(job.sequence, index)
    others = [other for other in job.window_sweeps(block) if other not in left_out]
    nearest = min(others, key=lambda other: abs(other - index), default=None)
    like = None if nearest is None else job.dataset.read(job.sequence, nearest)
    return blank_sweep(job.dataset, job.sequence, index, left_out[index].points, like)


def blank_sweep(dataset: Dataset, sequence: str, index: int, points: int, like: Sweep | None = None) -> Sweep:
    """Return a sweep of invalid points, with pose, time and columns as of another."""
    return Sweep(
        sequence=sequence,
        name=dataset.sweep_names(sequence)[index],
        timestamp_ns=0 if like is None else like.timestamp_ns,
        xyz=np.full((points, 3), np.nan, np.float32),
        intensity=np.zeros(points, np.float32),
        origin=np.zeros((1, 3), np.float32),
        world_SE3_sensor=np.eye(4) if like is None else like.world_SE3_sensor,
        pixel=None if like is None or like.pixel is None else np.zeros((points, 4), np.uint16),
    )
