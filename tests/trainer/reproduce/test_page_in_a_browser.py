"""The page of a reproduction in a real browser: on a phone, a screen and paper, in light and dark."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from iscc_lidar.trainer.reproduce.page import page
from iscc_lidar.trainer.reproduce.plots import curves, gains_by_street
from iscc_lidar.trainer.reproduce.results import Result, read_csv
from iscc_lidar.trainer.reproduce.tables import filled, street_tables, tables

from browser import Browser
from looks import problems

PUBLISHED = Path(__file__).resolve().parents[3] / "docs" / "results.csv"
FACTS = {"pre-trained on": f"640 sweeps in 40 sequences, {'cache/' * 20}", "seeds": "0, 1, 2"}


def published() -> list[Result]:
    """The published results, and others of further experiments and a further schedule."""
    results = read_csv(PUBLISHED, Result)
    iscc = [r for r in results if r.method == "iscc"]
    ablated = [replace(r, method=name) for r in iscc for name in ("local_only", "global_only", "occ_only_8")]
    return [*results, *ablated, *(replace(r, schedule="a schedule with a long name") for r in results)]


def on_streets() -> list[Result]:
    """The published results as if they were of streets, also on labels that were spread."""
    return [
        replace(r, street={1: "away", 10: "near"}[int(r.fraction)], fraction=6, labels=labels, averaged=averaged)
        for r in read_csv(PUBLISHED, Result)
        for labels in ("alone", "both")
        for averaged in (False, True)
    ]


@pytest.mark.parametrize("streets", [False, True])
def test_the_page_reads_well_everywhere_and_asks_for_nothing(browser: Browser, tmp_path: Path, streets: bool):
    results = on_streets() if streets else published()
    titles = {"away": "away: 40 -> 00[0-24]", "near": "near: 40 + 41 + 42 -> 42"}
    text = street_tables(results, titles) if streets else tables(results, "synthetic")
    path = tmp_path / "index.html"
    path.write_text(page("ISCC on <synthetic>", FACTS, text, results), encoding="utf-8")
    assert problems(browser, path) == []
    browser.open(path, 390)
    smallest = browser.run(
        "Math.min(...[...document.querySelectorAll('figure svg')].map((s) => s.getBoundingClientRect().width / "
        "s.viewBox.baseVal.width * 9))"  # the smallest text of a plot has 9 points
    )
    assert smallest > 8, "text of the plots cannot be read on a phone"


def test_experiments_differ_in_more_than_colour() -> None:
    (rows,) = (rows for title, rows in filled(published()) if title.startswith("Ablation"))
    figure = curves(published(), rows)
    for panel in figure.axes:
        lines = [container[0] for container in panel.containers]
        assert len({(line.get_marker(), line.get_linestyle()) for line in lines}) == len(lines)
    for panel in gains_by_street(on_streets()).axes:
        hatches = {(bar.get_facecolor(), bar.get_hatch()) for bars in panel.containers for bar in bars}
        assert len({hatch for _, hatch in hatches}) == len(hatches) == 2
