import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from iscc_lidar.preprocess.describe.ray_image import contradicted, make_ray_image

ORIGIN = np.zeros((1, 3), np.float32)
WALL = np.array([[10, 0, 0]], np.float32)


def says_wrong(place: list[float], occupied: bool) -> bool:
    image = make_ray_image(ORIGIN, WALL)
    return bool(contradicted(np.array([place], np.float32), np.array([occupied]), image, 0.3, 0.05)[0])


def test_one_ray_and_one_place() -> None:
    assert says_wrong([5, 0, 0], True)  # seen through
    assert not says_wrong([5, 0, 0], False)
    assert says_wrong([10.2, 0, 0], False)  # right behind the surface
    assert not says_wrong([10.2, 0, 0], True)
    assert not says_wrong([11, 0, 0], False)  # hidden: nothing is known
    assert not says_wrong([11, 0, 0], True)
    assert not says_wrong([5, 0.2, 0], True)  # the ray passes too far away to tell
    assert not says_wrong([5, -5, 0], True)  # no ray went there


def test_of_two_rays_in_one_direction_the_longer_speaks() -> None:
    image = make_ray_image(np.zeros((2, 3), np.float32), np.array([[10, 0, 0], [4, 0.001, 0]], np.float32))
    assert contradicted(np.array([[4.2, 0, 0]], np.float32), np.array([True]), image, 0.3, 0.05)[0]


def test_no_rays_say_nothing() -> None:
    image = make_ray_image(np.empty((0, 3), np.float32), np.empty((0, 3), np.float32))
    assert not contradicted(WALL, np.array([True]), image, 0.3, 0.05).any()


@given(st.integers(0, 10_000))
def test_what_is_dropped_is_contradicted_by_some_ray(seed: int) -> None:
    rng = np.random.default_rng(seed)
    origin = rng.normal(0, 0.2, (300, 3)).astype(np.float32)
    end = (rng.normal(0, 10, (300, 3))).astype(np.float32)
    ray = rng.integers(0, 300, 200)
    share = rng.uniform(0, 1.2, (200, 1))
    places = (origin[ray] + share * (end[ray] - origin[ray]) + rng.normal(0, 0.05, (200, 3))).astype(np.float32)
    occupied = rng.random(200) < 0.5
    dropped = contradicted(places, occupied, make_ray_image(origin, end), 0.3, 0.05)
    for place, is_occupied in zip(places[dropped], occupied[dropped], strict=True):
        assert any(contradicts(o, e, place, bool(is_occupied)) for o, e in zip(origin, end, strict=True))


def contradicts(o: np.ndarray, e: np.ndarray, place: np.ndarray, occupied: bool) -> bool:
    length = float(np.linalg.norm(e - o))
    unit = (e - o) / length
    along = float((place - o) @ unit)
    if np.linalg.norm(o + along * unit - place) > 0.0501:
        return False
    beyond = length - along
    return beyond > 0.0499 if occupied else -0.3001 < beyond < -0.0499
