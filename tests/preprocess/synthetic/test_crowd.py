"""Dense streets: what stands at arm's length there does not elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.semantics import BICYCLE, BICYCLIST, CAR, MOTORCYCLE, MOTORCYCLIST, PERSON, TRUCK
from iscc_lidar.preprocess.synthetic.street import Street, build_street

STREETS = range(4)


@pytest.fixture(scope="module")
def crowded() -> list[Street]:
    return [build_street(SynthConfig(district="crowd", seed=3), index) for index in STREETS]


def gaps(street: Street, *raw: int) -> np.ndarray:
    """Distance of each standing thing of some classes to the next one, metres."""
    rows = street.things.row[np.isin(street.things.raw, raw)]
    place = street.origin[rows]
    xy = place[~place[:, 3:].any(axis=1), :2]
    apart = np.linalg.norm(xy[:, None] - xy[None], axis=2) + 1e9 * np.eye(len(xy))
    return np.asarray(apart.min(axis=1, initial=1e9))


def test_two_wheelers_and_people_stand_at_arms_length(crowded: list[Street]) -> None:
    bikes = np.concatenate([gaps(street, BICYCLE, MOTORCYCLE) for street in crowded])
    assert len(bikes) > 100
    assert 0.4 < np.median(bikes) < 0.9
    people = np.concatenate([gaps(street, PERSON) for street in crowded])
    assert len(people) > 40
    assert np.mean(people < 1.0) > 0.7
    elsewhere = [build_street(SynthConfig(seed=3), index) for index in STREETS]
    assert np.median(np.concatenate([gaps(street, BICYCLE, MOTORCYCLE) for street in elsewhere])) > 1.0


def test_cars_stand_door_to_door_on_some_sides_and_riders_move_on_all(crowded: list[Street]) -> None:
    close = [np.sum(gaps(street, CAR) < 2.8) for street in crowded]
    assert max(close) > 40  # across the sidewalk: a car's width and what a door needs
    for street in crowded:
        riders = street.things.row[np.isin(street.things.raw, [BICYCLIST, MOTORCYCLIST])]
        assert np.sum(np.abs(street.origin[riders, 3]) > 2.0) >= 5


def test_trucks_draw_trailers(crowded: list[Street]) -> None:
    things = [(street.things.high - street.things.low)[street.things.raw == TRUCK, 0] for street in crowded]
    assert np.concatenate(things).max() > 9.0


def test_nothing_of_it_stands_in_the_ego_vehicles_way(crowded: list[Street]) -> None:
    for street in crowded:
        rows = street.things.row[~np.isin(street.things.raw, [CAR])]
        s, d, _, v_s, v_d = street.origin[rows].T
        in_lane = (np.abs(d - street.ego_d) < 0.8) & (v_s == 0) & (v_d == 0) & (s > -5) & (s < 60)
        two_wheelers = np.isin(street.things.raw[~np.isin(street.things.raw, [CAR])], [BICYCLE, MOTORCYCLE, PERSON])
        assert not (in_lane & two_wheelers).any()


def test_riders_run_into_nothing_and_people_stand_in_no_row(crowded: list[Street]) -> None:
    for street in crowded:
        things = street.things
        s, d, yaw, v_s, v_d = street.origin[things.row].T
        half, middle = (things.high - things.low)[:, :2] / 2, (things.high + things.low)[:, :2] / 2
        cos, sin = np.cos(yaw), np.sin(yaw)
        place = np.stack([s + cos * middle[:, 0] - sin * middle[:, 1], d + sin * middle[:, 0] + cos * middle[:, 1]])
        reach = np.stack([abs(cos) * half[:, 0] + abs(sin) * half[:, 1], abs(sin) * half[:, 0] + abs(cos) * half[:, 1]])
        moves = (v_s != 0) | (v_d != 0)
        rides = np.isin(things.raw, [BICYCLIST, MOTORCYCLIST]) & moves & (np.abs(d) < street.ground.half_road)
        in_row = np.isin(things.raw, [BICYCLE, MOTORCYCLE])
        for time in np.linspace(0, 4, 9):
            at = place + time * np.stack([v_s, v_d])
            apart = np.abs(at[:, :, None] - at[:, None]) - reach[:, :, None] - reach[:, None]
            apart = apart.max(axis=0) + 1e9 * np.eye(len(s))
            assert (apart[np.ix_(rides, rides | np.isin(things.raw, [CAR, TRUCK]))] > 0).all()
            assert (apart[np.ix_(things.raw == PERSON, in_row)] > 0).all()
