import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscc_lidar.trainer.report.chart import draw, look_class, nice_ticks, number
from iscc_lidar.trainer.report.curves import MOST_POINTS, Panel, Series, running_mean, thin, value_range

finite = st.floats(-1e4, 1e4)


@given(st.lists(finite, max_size=40), st.integers(1, 12))
def test_running_mean_is_the_mean_of_what_is_near(values: list[float], width: int):
    expected = [
        np.mean(values[max(i - width // 2, 0) : i + (width - 1) // 2 + 1]) for i in range(len(values))
    ]  # the slow twin
    np.testing.assert_allclose(running_mean(np.array(values), width), expected, atol=1e-6)


def test_a_long_log_keeps_its_extremes_and_its_mean():
    step = np.arange(5000)
    values = np.sin(step / 50)
    values[1234] = 40.0
    series = thin(0, "loss", step, values, 0.0)
    assert len(series.step) == MOST_POINTS
    assert series.high.max() == 40.0
    assert series.low.min() == pytest.approx(values.min())
    assert np.average(series.mean) == pytest.approx(values.mean(), abs=0.01)
    assert (np.diff(series.step) > 0).all()


def test_gaps_are_left_out():
    series = thin(0, "loss", np.arange(4), np.array([1.0, np.nan, 3.0, np.nan]), 0.0)
    assert series.step.tolist() == [0, 2]
    assert series.low.tolist() == series.high.tolist() == [1, 3]


def test_the_axis_holds_curve_and_level_but_not_a_lone_spike():
    values = np.r_[np.linspace(2, 1, 999), 1e6]
    series = Series(0, "loss", np.arange(1000.0), values, values, np.linspace(2, 1, 1000), 1.0)
    low, high = value_range(Panel("loss", "", (series,), levels=((4.6, "guessing"),)))
    assert low <= 1
    assert 4.6 <= high < 10


@given(finite, st.floats(1e-3, 1e4))
def test_ticks_are_round_few_and_reach_over_the_range(low: float, length: float):
    ticks = nice_ticks(low, low + length)
    step = ticks[1] - ticks[0]
    assert ticks[0] <= low + 1e-6 * step + 1e-9
    assert ticks[-1] >= low + length - 1e-6 * step - 1e-9
    assert 2 <= len(ticks) <= 8
    assert not any(0 < abs(tick) < step / 2 for tick in ticks)
    assert float(f"{step:.2e}".split("e")[0]) == pytest.approx(
        step / 10 ** np.floor(np.log10(step * (1 + 1e-9))), rel=0.01
    )


def test_a_chart_has_round_ticks_around_its_curves_and_colours_of_the_page():
    step = np.arange(0.0, 101)
    series = Series(0, "loss", step, step / 50 + 1.1, step / 50 + 1.2, step / 50 + 1.15, 3.1)
    chart = draw(Panel("Loss", "of a < b", (series,), levels=((2.5, "guessing"),)), 100, several=False)
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", chart)
    assert texts == ["0", "20", "40", "60", "80", "100", "1", "1.5", "2", "2.5", "3", "3.5", "guessing 2.5"]
    assert chart.count("stroke: var(--c0)") == 1
    assert chart.count("fill: var(--c0)") == 1
    assert chart.count("var(--level)") == 1
    assert "of a &lt; b" in chart
    assert not re.search(r"#0000\w\w\b", chart)


def test_curves_of_several_runs_differ_in_colour_dash_and_number():
    step = np.arange(3.0)
    series = [Series(look, str(look + 1), step, step, step, step + 0.01 * look, 2.0) for look in range(6)]
    chart = draw(Panel("Cosine", "", tuple(series)), 2, several=True)
    lines = re.findall(r'style="fill: none; (?:stroke-dasharray: ([^;]*);)?[^"]*?stroke: var\(--(c\d)\)', chart)
    assert len({dash for dash, _ in lines}) == len({color for _, color in lines}) == len(lines) == 6
    assert re.findall(r'<i class="key (c\d) (d\d)"></i>(\d) <b>2</b>', chart) == [
        (f"c{n}", f"d{n}", str(n + 1)) for n in range(6)
    ]
    numbers = {
        text: float(y) for y, text in re.findall(r'<text[^>]*fill: var\(--c\d\)[^>]*y="([\d.]+)"[^>]*>(\d)<', chart)
    }
    heights = [numbers[str(n)] for n in range(1, 7)]
    assert all(lower - upper >= 10 for lower, upper in itertools.pairwise(heights))


def test_of_more_runs_than_colours_no_two_look_the_same():
    assert len({look_class(look) for look in range(36)}) == 36


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.008, "0.008"), (1.5e-8, "1.5e-08"), (4.605, "4.61"), (1200, "1,200"), (99.98, "100"),
     (float("nan"), "–")],
)  # fmt: skip
def test_numbers_are_short(value: float, text: str):
    assert number(value) == text
