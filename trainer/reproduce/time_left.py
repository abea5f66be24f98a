"""How long the jobs that are left will take, from those that are done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean

from iscc_lidar.trainer.reproduce.plan import Job


def seconds_left(
    waiting: Sequence[Job], running: Mapping[Job, float], done: Mapping[Job, float], at_once: int
) -> float | None:
    """Seconds until all are done, as if jobs could be shared out evenly.

    Args:
        waiting: jobs to come.
        running: jobs, and for how many seconds they have run.
        done: jobs, and how many seconds they took.
        at_once: how many run side by side.

    Returns:
        None while none of some kind is done.
    """
    kinds = {job.kind for job in done}
    if not kinds.issuperset(job.kind for job in (*waiting, *running)):
        return None
    takes = {kind: mean(seconds for job, seconds in done.items() if job.kind == kind) for kind in kinds}
    rests = [max(takes[job.kind] - seconds, 0.0) for job, seconds in running.items()]
    return max((sum(rests) + sum(takes[job.kind] for job in waiting)) / at_once, max(rests, default=0.0))
