"""The pages on runs in a real browser: on a phone, a screen and paper, in light and dark, without colours."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from iscc_lidar.trainer.report.comparison import write_comparison
from iscc_lidar.trainer.report.report import ReportConfig, write_report

from browser import Browser
from looks import problems

BAD = {
    "wide": ("<p style='width:800px'>wide", "390 px, light: the page: 8"),
    "hidden": ("<div style='overflow-x:auto'><p style='width:2000px'>x</div>", "hides"),
    "cut in print": (
        "<div style='overflow-x:auto'><table style='width:2000px'><tr><td>x</table></div>",
        "in print: DIV",
    ),
    "faint": ("<p style='color:#999'>faint", "contrast 2.8"),
    "faint in dark": ("<style>:root{color-scheme:light dark}</style><p style='color:#444'>faint", "dark: contrast 1."),
    "half faint": ("<p style='opacity:.3'>faint", "contrast"),
    "error": ("<script>throw new Error('broken')</script>", "broken"),
    "warning": ("<script>console.warn('odd')</script>", "odd"),
    "elsewhere": ("<img src='https://example.org/a.png'>", "asks for"),
    "fetched": ("<script>fetch('http://10.0.0.1/x').catch(() => 0)</script>", "asks for"),
    "file": ("<img src='other.png'>", "asks for"),
}


def runs(run: Path, folder: Path) -> list[Path]:
    """Six runs with long and hostile names, all with scores."""
    names = ["a_run_with_a_name_that_is_far_too_long_to_fit_on_a_phone", *("<b>&", "c d", "e", "f", "g")]
    scores = {"miou": 0.145, "miou_objects": 0.2, "iou": {"a class with a long name": 0.25, "pole": None}}
    content = {
        "linear_probe": {"untrained": scores, "pre-trained": scores},
        "about": {"val_cache": "cache/" + "v" * 90},
    }
    copies = [Path(shutil.copytree(run, folder / name)) for name in names]
    for n, copy in enumerate(copies):
        recipe = (copy / "config.toml").read_text()
        (copy / "config.toml").write_text(recipe.replace("log_every = 1", f"log_every = {n + 1}"))
        lines = [json.loads(line) for line in (copy / "metrics.jsonl").read_text().splitlines()]
        (copy / "metrics.jsonl").write_text("".join(json.dumps(row | {"loss": 5.0 + n}) + "\n" for row in lines))
        (copy / "evaluation.json").write_text(json.dumps(content))
    return copies


@pytest.fixture(scope="module")
def pages(run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    several = runs(run, folder)
    write_report(several[0], None, folder / "one.html", ReportConfig(sweeps=2, drawn=1, reach_m=20.0, cards=3))
    write_comparison(several, folder / "several.html")
    return {name: folder / f"{name}.html" for name in ("one", "several")}


@pytest.mark.parametrize("name", ["one", "several"])
def test_a_page_reads_well_everywhere_and_asks_for_nothing(browser: Browser, pages: dict[str, Path], name: str):
    assert problems(browser, pages[name]) == []


@pytest.mark.parametrize("name", ["one", "several"])
def test_values_under_the_pointer_are_shown_in_all_charts(browser: Browser, pages: dict[str, Path], name: str):
    browser.open(pages[name], 1280)
    outputs = "[...document.querySelectorAll('.chart output')].map((e) => e.textContent)"
    resting = browser.run(outputs)
    browser.run("document.querySelector('.chart').scrollIntoView({ behavior: 'instant' })")
    x, y = browser.run(
        "(b => [b.x + b.width / 2, b.y + b.height / 2])(document.querySelector('.chart svg').getBoundingClientRect())"
    )
    browser.point_at(x, y)
    pointed = browser.run(outputs)
    assert all(text.startswith("step 3") for text in pointed)
    assert len(pointed) == len(resting) >= 10
    browser.point_at(1, 1)
    assert browser.run(outputs) == resting
    assert browser.complaints() == []


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_with_a_page_is_found(browser: Browser, tmp_path: Path, name: str):
    html, expected = BAD[name]
    start = '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>x</title>'
    (tmp_path / "page.html").write_text(f"{start}<body>{html}")
    assert any(expected in found for found in problems(browser, tmp_path / "page.html"))


def test_curves_that_only_colour_tells_apart_are_found(browser: Browser, pages: dict[str, Path], tmp_path: Path):
    page = tmp_path / "page.html"
    page.write_text(pages["several"].read_text().replace("stroke-dasharray:", "--none:"))
    assert any("alike without colour" in found for found in problems(browser, page))
