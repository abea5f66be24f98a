"""The page that compares runs: what it shows side by side, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.cli import app
from iscc_lidar.trainer.pretrain.learner import pretrain
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.report.comparison import write_comparison

from parsed_page import Page


@pytest.fixture
def other(run: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may change."""
    return Path(shutil.copytree(run, tmp_path / "other"))


def compared(*runs: Path, out: Path) -> Page:
    write_comparison(runs, out)
    return Page(out)


def evaluation(miou: float, val_cache: str = "cache/val") -> dict[str, Any]:
    scores = {"miou": miou, "miou_objects": 0.2, "iou": {"car": 0.25, "pole": None}}
    return {
        "about": {"run": f"run of {miou}", "train_cache": "cache/train", "val_cache": val_cache, "val_sweeps": 7},
        "options": {"seed": 0},
        "linear_probe": {"untrained": scores | {"miou": 0.011}, "pre-trained": scores},
        "occupancy": {"decoder": {"accuracy": 0.7, "balanced": 0.724}},
    }


def test_curves_are_drawn_together(run: Path, other: Path, tmp_path: Path):
    lines = [json.loads(line) for line in (other / "metrics.jsonl").read_text().splitlines()]
    (other / "metrics.jsonl").write_text("".join(json.dumps(row | {"loss": 50.0}) + "\n" for row in lines))
    page = compared(run, other, out=tmp_path / "both.html")
    assert page.anchors == ["runs", "curves", "differences"]
    assert page.source.count("stroke: var(--c0)") == page.source.count("stroke: var(--c1)") >= 9
    assert re.search(r'class="key c1 d1"></i>2 <b>50</b>', page.source)
    assert "Occupancy accuracy: free" in page.text
    assert "1. tiny · 2. other" in page.text


def test_the_same_runs_give_the_same_bytes_and_load_nothing(run: Path, other: Path, tmp_path: Path):
    a, b = (compared(run, other, out=tmp_path / name) for name in ("a.html", "b.html"))
    assert a.source == b.source
    assert all(link.startswith("#") for link in a.links)
    assert "http" not in a.source


def test_only_options_that_differ_are_listed(run: Path, other: Path, tmp_path: Path):
    recipe = (other / "config.toml").read_text()
    changed = recipe.replace("loader_workers = 0", "loader_workers = 1")
    changed = re.sub(r"(?m)^seed = 0", "seed = 5", changed)
    assert changed != recipe
    (other / "config.toml").write_text(changed)
    page = compared(run, other, out=tmp_path / "both.html")
    learnt, free = page.text.split("Options that change what is learnt")[1].split("do not change what is learnt")
    assert "train.seed05" in learnt
    assert "train.loader_workers01" in free
    assert "train.batch_size" not in page.text


def test_equal_runs_differ_in_nothing(run: Path, other: Path, tmp_path: Path):
    assert "Options that change what is learntNone." in compared(run, other, out=tmp_path / "both.html").text


def test_scores_stand_side_by_side(run: Path, other: Path, tmp_path: Path):
    third = Path(shutil.copytree(other, tmp_path / "third"))
    (other / "evaluation.json").write_text(json.dumps(evaluation(0.145)))
    (third / "evaluation.json").write_text(json.dumps(evaluation(0.267)))
    page = compared(run, other, third, out=tmp_path / "all.html")
    assert page.anchors == ["runs", "scores", "curves", "differences"]
    assert "<td>pre-trained</td><td>14.5</td><td>26.7</td>" in page.source
    assert "Not scored yet by iscc-train evaluate: 1." in page.text
    assert page.text.count("scored on 7 sweeps of cache/val") == 1


def test_scores_on_other_sweeps_do_not_stand_side_by_side(run: Path, other: Path, tmp_path: Path):
    third = Path(shutil.copytree(other, tmp_path / "third"))
    (other / "evaluation.json").write_text(json.dumps(evaluation(0.145)))
    (third / "evaluation.json").write_text(json.dumps(evaluation(0.267, "cache/elsewhere")))
    page = compared(other, third, out=tmp_path / "all.html")
    assert "<td>pre-trained</td><td>14.5</td></tr>" in page.source
    assert "<td>pre-trained</td><td>26.7</td></tr>" in page.source


def test_total_losses_of_different_weights_are_left_out(run: Path, cache_path: Path, tmp_path: Path, tiny: IsccConfig):
    loss = dataclasses.replace(tiny.loss, occupancy_weight=0.5)
    pretrain([cache_path], tmp_path / "half", dataclasses.replace(tiny, loss=loss))
    page = compared(run, tmp_path / "half", out=tmp_path / "both.html")
    assert "The total loss is left out" in page.text
    titles = re.findall(r"<figcaption><b>(.*?)</b>", page.source)
    assert "Loss" not in titles
    assert "Global clustering" in titles


def test_a_level_is_drawn_where_it_is_that_of_all_runs(run: Path, cache_path: Path, tmp_path: Path, tiny: IsccConfig):
    more = dataclasses.replace(tiny.prototypes, count=20)
    pretrain([cache_path], tmp_path / "more", dataclasses.replace(tiny, prototypes=more))
    page = compared(run, tmp_path / "more", out=tmp_path / "both.html")
    charts = dict(re.findall(r"<figcaption><b>(.*?)</b>(.*?)</figure>", page.source, re.DOTALL))
    assert "guessing 0.693" in charts["Occupancy"]
    assert "guessing" not in charts["Global clustering"]  # ln 10 of one, ln 20 of the other


def test_one_run_twice_is_refused(run: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"is given twice.*name each run once"):
        write_comparison([run, run / ".." / run.name], tmp_path / "both.html")
    assert not (tmp_path / "both.html").exists()


def test_a_foreign_file_is_not_replaced(run: Path, other: Path, tmp_path: Path):
    (tmp_path / "mine.html").write_text("mine")
    with pytest.raises(UserError, match="this program did not write it"):
        write_comparison([run, other], tmp_path / "mine.html")
    assert (tmp_path / "mine.html").read_text() == "mine"


def test_names_and_what_files_say_are_escaped(run: Path, tmp_path: Path):
    odd = Path(shutil.copytree(run, tmp_path / "a<b>&'c"))
    content = json.loads((odd / "config.json").read_text())
    content["provenance"] |= {"cache": "<script>alert(1)</script>", "<i>": "<b>"}
    (odd / "config.json").write_text(json.dumps(content))
    (odd / "evaluation.json").write_text(json.dumps(evaluation(0.1, "</p><script>")))
    page = compared(run, odd, out=tmp_path / "both.html")
    assert page.count["script"] == 1
    assert "<b>&'c" not in page.source


@pytest.mark.parametrize("content", ["[]", '{"linear_probe": 3}', '{"occupancy": {"x": {"balanced": "much"}}}', "{"])
def test_damaged_scores_are_named(run: Path, other: Path, tmp_path: Path, content: str):
    (other / "evaluation.json").write_text(content)
    with pytest.raises(UserError, match=r"other/evaluation\.json"):
        write_comparison([run, other], tmp_path / "both.html")


def test_the_command(run: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["report", str(run), str(other)])
    assert done.exit_code == 0, done.output
    assert "report: comparison.html" in done.output
    assert "Comparison of 2 runs" in Page(tmp_path / "comparison.html").text


@pytest.mark.parametrize("option", [["--set", "sweeps=3"], ["--cache", "cache"]])
def test_what_shows_sweeps_goes_with_one_run(run: Path, other: Path, option: list[str]):
    done = CliRunner().invoke(app, ["report", str(run), str(other), *option])
    assert done.exit_code == 1
    assert "go with one run" in done.output
