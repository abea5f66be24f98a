"""Fields and roads between walls."""

from __future__ import annotations

import numpy as np

from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.semantics import BUILDING, TERRAIN
from iscc_lidar.preprocess.synthetic.sensor import sweep
from iscc_lidar.preprocess.synthetic.street import build_street


def test_a_field_has_ground_and_a_few_things() -> None:
    config = SynthConfig(district="field", columns=256, seed=2)
    slopes, grown = [], []
    for index in range(4):
        street = build_street(config, index)
        assert 1 <= len(street.things.row) <= 4
        assert len(street.origin) == len(street.things.row)
        raw = sweep(street, config, index, 0).label & 0xFFFF
        grown.append(np.mean(raw == TERRAIN))
        slopes.append(abs(street.ground.grade))
    assert max(slopes) > 0.05
    assert np.mean(grown) > 0.3


def test_walls_are_close_on_both_sides_and_some_have_a_roof() -> None:
    config = SynthConfig(district="walled", columns=256, seed=2, sensor="os128", dropout=0.0)
    roofed = []
    for index in range(6):
        found = sweep(build_street(config, index), config, index, 0)
        wall = found.points[(found.label & 0xFFFF) == BUILDING]
        near = wall[np.abs(wall[:, 0]) < 3]
        assert near[:, 1].max() > 1
        assert near[:, 1].min() < -1
        assert np.abs(near[:, 1]).max() < 12
        overhead = (np.abs(wall[:, 1]) < 1) & (np.abs(wall[:, 0]) < 20) & (wall[:, 2] > 2)
        roofed.append(bool(overhead.any()))
    assert 0 < sum(roofed) < 6
