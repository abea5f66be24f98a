"""Pictures show what they should: decoded pixel by pixel, not looked at."""

import builtins
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.layouts.layout import class_colors, find_layout
from iscc_lidar.trainer.evaluation.pictures import draw_confusion, draw_segmentation
from iscc_lidar.trainer.evaluation.scores import count_confusion, semantic

SEMANTICKITTI_NAMES, NUSCENES_NAMES, WAYMO_NAMES = (
    find_layout(dataset).class_names for dataset in ("semantickitti", "nuscenes", "waymo")
)
NAMES = ("unlabelled", "car", "wall", "pole", "ground")
WRONG = (255, 77, 77)
FULL = (252, 253, 191)


def pixels(path: Path) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def near(image: NDArray[np.uint8], color: tuple[int, ...] | NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.abs(image.astype(int) - np.array(color)).max(axis=2) <= 3


@pytest.mark.parametrize("names", [SEMANTICKITTI_NAMES, NUSCENES_NAMES, WAYMO_NAMES, NAMES])
def test_each_class_has_a_colour_of_its_own(names):
    colors = class_colors(names)
    assert colors.shape == (len(names), 3)
    assert colors.min() >= 0
    assert colors.max() <= 1
    assert len(np.unique(colors, axis=0)) == len(names)


def test_colours_are_the_data_sets_usual_ones():
    assert (class_colors(SEMANTICKITTI_NAMES)[9] * 255).tolist() == [255, 0, 255]  # road
    assert (class_colors(NUSCENES_NAMES)[4] * 255).tolist() == [255, 158, 0]  # car


def test_errors_are_drawn_where_they_are(cache: Cache, tmp_path: Path):
    sweep = cache.sweep("00", 0)
    truth = semantic(sweep)
    draw_segmentation(sweep, truth, NAMES, tmp_path / "right.png", reach_m=15)
    right = pixels(tmp_path / "right.png")
    assert near(right, WRONG).sum() == 0
    third = right.shape[1] // 3
    for name in ("car", "ground"):
        color = class_colors(NAMES)[NAMES.index(name)] * 255
        assert near(right[:600, :third], color).sum() > 20
        assert near(right[:600, third : 2 * third], color).sum() > 20
    wrong = np.where(truth == 1, 2, truth)
    draw_segmentation(sweep, wrong, NAMES, tmp_path / "wrong.png", reach_m=15)
    image = pixels(tmp_path / "wrong.png")
    assert near(image[:, 2 * third :], WRONG).sum() > 50
    assert near(image[:, : 2 * third], WRONG).sum() == 0
    car = class_colors(NAMES)[1] * 255
    assert near(image[:600, third : 2 * third], car).sum() == 0


def test_confusion_is_bright_where_the_points_are(tmp_path: Path):
    truth = np.repeat([1, 2, 3, 4, 0], 100)
    for name, predicted in (("same", truth), ("one", np.where(truth > 0, 4, 0))):
        draw_confusion(count_confusion(truth, predicted, 5), NAMES, tmp_path / f"{name}.png")
    full = {name: np.nonzero(near(pixels(tmp_path / f"{name}.png"), FULL)) for name in ("same", "one")}
    rows, columns = full["same"]
    assert np.ptp(columns) == pytest.approx(np.ptp(rows), rel=0.05)
    assert np.corrcoef(rows, columns)[0, 1] > 0.9
    assert np.ptp(full["one"][0]) == pytest.approx(np.ptp(rows), rel=0.05)
    assert np.ptp(full["one"][1]) == pytest.approx(np.ptp(columns) / 4, rel=0.05)


def test_an_empty_matrix_and_a_class_that_no_point_has_are_drawn(tmp_path: Path):
    draw_confusion(np.zeros((5, 5), np.int64), NAMES, tmp_path / "deep" / "er.png")
    assert (tmp_path / "deep" / "er.png").read_bytes().startswith(b"\x89PNG")
    assert len(list((tmp_path / "deep").iterdir())) == 1


def test_without_matplotlib_the_command_that_helps_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = builtins.__import__

    def without(name, *rest, **kept):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return found(name, *rest, **kept)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match="pip install matplotlib"):
        draw_confusion(np.zeros((5, 5), np.int64), NAMES, tmp_path / "a.png")
