from __future__ import annotations

import numpy as np

from iscc_lidar.shared.base.palettes import (
    distinct_colors,
    few_distinct,
    few_distinct_colors,
    hex_color,
    hues,
    prototype_colors,
)


def test_ids_have_distinct_colours_that_do_not_depend_on_the_other_ids():
    colors = distinct_colors(np.arange(200))
    assert len(np.unique(np.rint(colors * 255), axis=0)) > 0.95 * len(colors)
    assert np.array_equal(distinct_colors(np.array([70, 3])), colors[[70, 3]])
    assert colors.min(axis=1).max() < 1
    assert (np.abs(colors[1:] - colors[:-1]).sum(axis=1) * 255).min() > 60


def test_like_prototypes_get_like_hues():
    rng = np.random.default_rng(0)
    kinds = np.eye(16)[[0, 1, 2]]
    centres = np.repeat(kinds, 20, axis=0) + 0.05 * rng.standard_normal((60, 16))
    palette = prototype_colors(centres.astype(np.float32))
    chroma = palette - palette.mean(axis=1, keepdims=True)
    hue = np.exp(1j * np.arctan2(chroma @ [0, 1, -1], chroma @ [2, -1, -1]))
    kept = [abs(hue[20 * k : 20 * k + 20].mean()) for k in range(3)]
    assert min(kept) > 0.5  # a third of the circle each
    assert abs(hue.mean()) < 0.4


def test_a_single_prototype_has_a_colour():
    assert hex_color(prototype_colors(np.ones((1, 4), np.float32))[0]).startswith("#")


def test_a_higher_level_is_lighter():
    dark, light = hues(np.array([0.1, 0.1]), np.array([0.5, 0.7]))
    assert (dark < light).all()
    assert hex_color(np.array([1.0, 0.0, 0.5])) == "#ff0080"


def test_the_few_colours_of_ids_are_nearly_theirs():
    ids = np.arange(5000)
    few = few_distinct_colors()
    assert len(few) == 240
    assert np.abs(few[few_distinct(ids)] - distinct_colors(ids)).max() < 0.03
