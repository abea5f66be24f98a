import numpy as np
import pytest

from iscc_lidar.data_schemas.labels import GROUND, NOISE, NOT_CONSIDERED

from benchmarks.preprocess.missed import why_missed

CASES = {
    "ground": ([GROUND] * 6 + [1] * 4, [1] * 10, [0] * 10),
    "noise": ([NOISE] * 3 + [NOT_CONSIDERED] * 3 + [1] * 4, [1] * 10, [0] * 10),
    "merged": ([1] * 10, [1] * 4 + [2] * 6, [0] * 10),
    "split in space": ([1, 1, 2, 2, 3] * 2, [1] * 10, [0] * 5 + [1] * 5),
    "split in time": ([1] * 4 + [2] * 3 + [3] * 3, [1] * 10, [0] * 4 + [1] * 3 + [2] * 3),
}


@pytest.mark.parametrize("reason", list(CASES))
def test_the_reason_is_what_most_points_say(reason: str) -> None:
    label, truth, sweep = (np.array(values) for values in CASES[reason])
    assert why_missed(label, truth, sweep, 1) == reason


def test_a_group_of_others_takes_precedence_over_a_split() -> None:
    label, truth = np.array([1] * 3 + [2] * 3 + [1] * 9), np.array([1] * 6 + [0] * 9)
    assert why_missed(label, truth, np.zeros(15, np.int64), 1) == "merged"


def test_an_object_of_ground_and_noise_alone_has_no_group() -> None:
    label = np.array([GROUND, GROUND, NOISE, NOISE])
    assert why_missed(label, np.ones(4, np.int64), np.zeros(4, np.int64), 1) == "split in space"
