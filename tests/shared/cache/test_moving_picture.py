"""Moving pictures of a sequence: colours that stay, boxes that are sure, trails of what moves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.palettes import few_distinct, few_distinct_colors
from iscc_lidar.shared.cache.moving_picture import draw_moving_picture
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import GroupBoxes, Groups


def frames(path: Path) -> list[NDArray[np.uint8]]:
    image = Image.open(path)
    found = []
    for n in range(getattr(image, "n_frames", 1)):
        image.seek(n)
        found.append(np.asarray(image.convert("RGB")))
    return found


def drawn(cache: Cache, path: Path, start: int = 0, sweeps: int = 6) -> list[NDArray[np.uint8]]:
    draw_moving_picture(cache, "00", start, sweeps, path, reach_m=30.0)
    return frames(path)


def colors_of(groups: NDArray[np.int32]) -> set[tuple[int, ...]]:
    rgb = np.rint(few_distinct_colors()[few_distinct(groups)] * 255).astype(int)
    return {tuple(color) for color in rgb.tolist()}


def colors_in(frame: NDArray[np.uint8]) -> set[tuple[int, ...]]:
    return {tuple(color) for color in np.unique(frame.reshape(-1, 3), axis=0).tolist()}


def test_a_group_has_its_colour_in_each_frame_and_nothing_else_has(tiny_cache: Path, tmp_path: Path) -> None:
    cache = Cache(tiny_cache)
    pictures = drawn(cache, tmp_path / "a.gif")
    assert len(pictures) == 6
    palette = colors_of(np.arange(100_000, dtype=np.int32))
    seen = 0
    for index, picture in enumerate(pictures):
        sweep, here = cache.sweep("00", index), colors_in(picture) & palette
        assert here <= colors_of(np.unique(sweep.label[sweep.label >= 0]))
        near = (np.abs(sweep.xyz[:, :2]) < 25).all(axis=1) & (sweep.label >= 0)
        groups, points = np.unique(sweep.label[near], return_counts=True)
        assert colors_of(groups[points >= 40]) <= here
        seen += int((points >= 40).sum())
    assert seen > 50


def test_the_same_cache_gives_the_same_bytes(tiny_cache: Path, tmp_path: Path) -> None:
    for name in ("a.gif", "b.gif"):
        drawn(Cache(tiny_cache), tmp_path / name)
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()
    drawn(Cache(tiny_cache), tmp_path / "a.gif", sweeps=3)  # its own file is replaced
    assert len(frames(tmp_path / "a.gif")) == 3


def test_it_ends_with_the_sequence(tiny_cache: Path, tmp_path: Path) -> None:
    assert len(drawn(Cache(tiny_cache), tmp_path / "a.gif", start=4, sweeps=200)) == 2
    assert len(drawn(Cache(tiny_cache), tmp_path / "a.gif", start=5, sweeps=1)) == 1
    for wrong in (6, -1):
        with pytest.raises(UserError, match=f"has sweeps 0 to 5, not {wrong}"):
            drawn(Cache(tiny_cache), tmp_path / "b.gif", start=wrong)
    assert not (tmp_path / "b.gif").exists()


class Changed(Cache):
    """A cache whose groups all move, at a place and with a confidence that a test chooses."""

    moving = True
    confidence: float | None = None
    away: float = 0.0

    def groups(self, sequence: str, index: int) -> Groups:
        found = super().groups(sequence, index)
        return replace(found, moving=np.full(len(found.group), self.moving))

    def group_boxes(self, sequence: str, index: int) -> GroupBoxes | None:
        found = super().group_boxes(sequence, index)
        if found is None or self.confidence is None:
            return None
        sure = np.full(len(found.group), self.confidence, np.float32)
        return replace(found, confidence=sure, centre=found.centre + self.away)


def test_a_trail_is_where_a_moving_group_was(tiny_cache: Path, tmp_path: Path) -> None:
    cache = Changed(tiny_cache)
    moving = drawn(cache, tmp_path / "a.gif")
    later = drawn(cache, tmp_path / "b.gif", start=3)[0]
    np.testing.assert_array_equal(later, moving[3])  # where it was before the picture counts, too
    cache.moving = False
    resting = drawn(cache, tmp_path / "c.gif")
    np.testing.assert_array_equal(moving[0], resting[0])
    for index in range(1, 6):
        label = cache.label("00", index)
        changed = (moving[index] != resting[index]).any(axis=2)
        assert changed.sum() > 20 * index
        assert colors_in(moving[index][changed]) <= colors_of(np.unique(label[label >= 0]))


def test_boxes_are_drawn_where_they_are_sure_and_white_where_they_move(tiny_cache: Path, tmp_path: Path) -> None:
    cache = Changed(tiny_cache)
    cache.moving = False
    white = {}
    for sure in (0.29, 0.31):
        for cache.moving in (False, True):
            cache.confidence = sure
            picture = drawn(cache, tmp_path / "a.gif", sweeps=1)[0]
            white[sure, cache.moving] = int((picture[24:] == 255).all(axis=2).sum())
    assert white[0.29, False] == white[0.29, True] == white[0.31, False] > 0  # the arrow at the sensor
    assert white[0.31, True] > white[0.31, False] + 500


@pytest.mark.parametrize("away", [1e300, 1e9])
def test_a_place_beyond_reason_is_no_stumbling_block(tiny_cache: Path, tmp_path: Path, away: float) -> None:
    cache = Changed(tiny_cache)
    cache.confidence, cache.away = 1.0, away
    assert len(drawn(cache, tmp_path / "a.gif", sweeps=2)) == 2


def test_a_foreign_file_is_not_replaced(tiny_cache: Path, tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(b"GIF89a mine")
    with pytest.raises(UserError, match="this program did not write it"):
        drawn(Cache(tiny_cache), tmp_path / "a.gif")
    assert (tmp_path / "a.gif").read_bytes() == b"GIF89a mine"
