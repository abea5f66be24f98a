"""Beam patterns."""

from __future__ import annotations

import numpy as np
import pytest

from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.sensor import SENSORS, elevations, sweep
from iscc_lidar.preprocess.synthetic.street import build_street


@pytest.mark.parametrize(("sensor", "beams"), [("hdl64", 64), ("pandar64", 64), ("vlp16", 16), ("hdl32", 32),
                                               ("os128", 128), ("solid_state", 128)])  # fmt: skip
def test_a_sensor_has_its_beams_and_sees_what_it_sees(sensor: str, beams: int) -> None:
    config = SynthConfig(sensor=sensor, columns=128)  # type: ignore[arg-type]
    found = np.degrees(elevations(config))
    assert len(found) == beams
    assert (np.diff(found) < 0).all()
    assert len(elevations(SynthConfig(sensor=sensor, beams=10))) == 10  # type: ignore[arg-type]
    xyz = sweep(build_street(config, 0), config, 0, 0).points[:, :3]
    up = np.degrees(np.arctan2(xyz[:, 2], np.hypot(xyz[:, 0], xyz[:, 1])))
    assert up.max() <= found[0] + 0.1
    assert up.min() >= found[-1] - 0.1
    around = np.degrees(np.arctan2(xyz[:, 1], xyz[:, 0]))
    assert np.ptp(around) > 0.95 * SENSORS[sensor].view_deg
    assert np.abs(around).max() <= SENSORS[sensor].view_deg / 2
