"""Time left, against values worked out by hand."""

from pathlib import Path

import pytest

from iscc_lidar.trainer.reproduce.plan import Job
from iscc_lidar.trainer.reproduce.work import seconds_left


def jobs(kind: str, count: int) -> list[Job]:
    return [Job(f"{kind}{i}", (), Path(kind), kind) for i in range(count)]


LONG, SHORT = jobs("long", 4), jobs("short", 4)
DONE = {LONG[0]: 100.0, LONG[1]: 140.0, SHORT[0]: 10.0}


@pytest.mark.parametrize(
    ("waiting", "running", "at_once", "left"),
    [
        ([], {}, 1, 0),
        (LONG[2:], {}, 1, 240),
        (LONG[2:], {}, 2, 120),
        (SHORT[1:], {LONG[2]: 30}, 1, 120),
        (SHORT[1:3], {LONG[2]: 20, SHORT[3]: 5}, 2, 100),
        (SHORT[1:3], {LONG[2]: 20, LONG[3]: 70}, 2, 100),
        (LONG[3:], {LONG[2]: 20, SHORT[3]: 5}, 2, 112.5),
        ([], {SHORT[1]: 12}, 2, 0),
    ],
)
def test_what_is_left_takes_as_long_as_its_kind_took(
    waiting: list[Job], running: dict[Job, float], at_once: int, left: float
):
    assert seconds_left(waiting, running, DONE, at_once) == pytest.approx(left)


def test_nothing_is_said_while_no_job_of_a_kind_is_done():
    assert seconds_left(LONG[2:], {}, {SHORT[0]: 10.0}, 1) is None
    assert seconds_left([], {LONG[2]: 5.0}, {SHORT[0]: 10.0}, 1) is None
