"""Figures as PNG and SVG: the same bytes for the same figure, and nothing in them that a page could not hold."""

from __future__ import annotations

import io
import re

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imread

from iscc_lidar.shared.base.picture import new_figure, png, svg


def plot() -> Figure:
    figure = new_figure(3, 2)
    panel = figure.subplots()
    panel.plot([0, 1, 2], [0.125, 0.75, 0.3333])
    panel.fill_between([0, 1, 2], [0.1, 0.5, 0.2], [0.2, 0.9, 0.4])
    panel.set_title("a < b: 0.6931")
    return figure


def test_the_same_figure_gives_the_same_bytes():
    assert png(plot()) == png(plot())
    assert svg(plot()) == svg(plot())


def test_an_svg_is_one_element_with_its_text_and_no_address():
    drawing = svg(plot())
    assert drawing.startswith("<svg ")
    assert drawing.endswith("</svg>")
    assert "a &lt; b: 0.6931" in drawing  # only paths are rounded
    assert not re.search(r' d="[^"]*\.\d\d', drawing)
    assert "http" not in drawing


def test_a_png_has_the_size_that_was_given():
    assert np.shape(imread(io.BytesIO(png(plot()))))[:2] == (200, 300)
