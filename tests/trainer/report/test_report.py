"""The page as a whole: what is on it, and what it does with runs and caches that are not as they should be."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.cli import app
from iscc_lidar.trainer.pretrain.learner import pretrain
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.report.report import ReportConfig, write_report

from parsed_page import Page

SMALL = ReportConfig(sweeps=4, drawn=2, reach_m=20.0, cards=3, examples=2)


@pytest.fixture(scope="module")
def page(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    out = tmp_path_factory.mktemp("page") / "report.html"
    write_report(run, None, out, SMALL)
    return Page(out)


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may spoil."""
    return Path(shutil.copytree(run, tmp_path / "tiny"))


def report(run: Path) -> Page:
    write_report(run, None, run / "report.html", SMALL)
    return Page(run / "report.html")


def test_every_part_is_there(page: Page):
    assert page.anchors == ["health", "curves", "prototypes", "sweeps", "setup"]
    assert page.text.count("Sequence ") == SMALL.drawn
    for expected in ("finished", "of 6 steps", "Seed", "train.steps", "iscc-train pretrain", "Learning rate", "torch"):
        assert expected in page.text
    for loss in ("Global clustering", "Local contrast", "Occupancy accuracy", "Teacher momentum", "Gradient norm"):
        assert loss in page.text


def test_nothing_is_loaded_from_elsewhere(page: Page):
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in page.links)
    assert "http" not in page.source.replace("http-equiv", "")
    assert not re.search(r"@import|url\((?!#)|<link|<iframe", page.source)


def test_it_says_which_class_a_prototype_means(page: Page):
    assert re.search(r"Classes were not used in training.*groups assigned at random", page.text)
    assert re.search(r"(car|wall|pole) \d+%", page.text)


def test_an_evaluation_is_shown_where_there_is_one(copy: Path):
    scores = {"miou": 0.145, "miou_objects": 0.2, "iou": {"car": 0.25, "pole": None}}
    named = {source: {"all": {"miou_objects": value}} for source, value in (("val", 0.321), ("train", 0.123))}
    content = {
        "linear_probe": {"untrained": scores | {"miou": 0.055}, "pre-trained": scores},
        "neighbour_probe": {"untrained": scores},
        "grouping": {"prototypes": {"many_to_one": named}},
        "occupancy": {"decoder": {"accuracy": 0.7, "balanced": 0.724}},
    }
    (copy / "evaluation.json").write_text(json.dumps(content))
    page = report(copy)
    assert page.anchors == ["health", "curves", "evaluation", "prototypes", "sweeps", "setup"]
    figures = ("0.055", "0.145", "0.250", "0.321", "0.123", "0.724")
    for shown in ("linear probe, IoU", *figures, "mIoU of the linear probe"):
        assert shown in page.text
    assert "nearest neighbours" not in page.text  # of one network alone


def test_the_same_run_gives_the_same_bytes(run: Path, tmp_path: Path):
    write_report(run, None, tmp_path / "a.html", SMALL)
    write_report(run, None, tmp_path / "b.html", SMALL)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_a_torn_last_line_is_left_out_and_said(copy: Path):
    metrics = copy / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes()[:-20])
    page = report(copy)
    assert "last line of metrics.jsonl is torn" in page.text
    assert "5 logged steps" in page.text


def test_a_torn_character_at_the_end_is_no_stumbling_block(copy: Path):
    with (copy / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 6, "loss": "\xc3')
    assert "last line of metrics.jsonl is torn" in report(copy).text


def test_a_spoiled_line_in_the_middle_is_an_error(copy: Path):
    lines = (copy / "metrics.jsonl").read_text().splitlines()
    lines[2] = lines[2][:30]
    (copy / "metrics.jsonl").write_text("\n".join(lines))
    with pytest.raises(UserError, match=r"metrics\.jsonl: line 3 is not a logged step"):
        report(copy)


def test_without_checkpoint_the_curves_remain(copy: Path):
    for name in ("encoder.safetensors", "heads.safetensors", "resume.pt"):
        (copy / name).unlink()
    page = report(copy)
    assert page.anchors == ["health", "curves", "setup"]
    assert "No checkpoint" in page.text
    assert "not finished" in page.text


def test_a_run_that_has_just_begun_has_a_page(copy: Path):
    for name in ("encoder.safetensors", "heads.safetensors", "resume.pt", "metrics.jsonl"):
        (copy / name).unlink()
    page = report(copy)
    assert page.anchors == ["health", "setup"]
    assert "nothing yet" in page.text


def test_a_run_under_way_says_how_far_it_is(copy: Path):
    content = json.loads((copy / "config.json").read_text())
    content["provenance"]["steps"] = 60
    (copy / "config.json").write_text(json.dumps(content))
    page = report(copy)
    assert "not finished" in page.text
    assert "of 60 steps" in page.text
    assert "after step 6." in page.text


def test_a_lost_cache_costs_the_pictures_only(copy: Path):
    content = json.loads((copy / "config.json").read_text())
    content["provenance"]["cache"] = "gone/away"
    (copy / "config.json").write_text(json.dumps(content))
    page = report(copy)
    assert page.anchors == ["health", "curves", "setup"]
    assert "gone/away was not found" in page.text
    assert "--cache CACHE" in page.text


def test_a_cache_that_cannot_be_read_costs_the_pictures_only(copy: Path, tmp_path: Path):
    (tmp_path / "zip").mkdir()
    (tmp_path / "zip/manifest.json").write_text('{"format": "something else"}')
    content = json.loads((copy / "config.json").read_text())
    content["provenance"]["cache"] = str(tmp_path / "zip")
    (copy / "config.json").write_text(json.dumps(content))
    assert "its format is &#x27;something else" in report(copy).source


def test_a_cache_that_was_asked_for_must_be_one(run: Path, tmp_path: Path):
    with pytest.raises(UserError, match="no finished cache here"):
        write_report(run, tmp_path, tmp_path / "report.html", SMALL)
    assert not (tmp_path / "report.html").exists()


def test_another_cache_is_shown_and_named(run: Path, other_cache_path: Path, tmp_path: Path):
    write_report(run, other_cache_path, tmp_path / "report.html", SMALL)
    page = Page(tmp_path / "report.html")
    assert "sweeps" in page.anchors
    assert f"are of {other_cache_path} (fake). Its manifest is not that" in page.text
    assert "fake · recipe" in page.text  # the data set of the run


def test_a_folder_without_a_run_is_an_error(tmp_path: Path):
    with pytest.raises(UserError, match="no run here"):
        write_report(tmp_path, None, tmp_path / "report.html", SMALL)


def test_a_damaged_checkpoint_is_an_error(copy: Path):
    (copy / "resume.pt").write_bytes((copy / "resume.pt").read_bytes()[:1000])
    with pytest.raises(UserError, match="not a readable checkpoint"):
        report(copy)


def test_names_are_escaped(run: Path, tmp_path: Path):
    odd = Path(shutil.copytree(run, tmp_path / "a<b>&'c"))
    page = report(odd)
    assert "<b>&'c" not in page.source
    assert "a<b>&'c" in page.text


def test_a_run_without_occupancy_says_so(cache_path: Path, tmp_path: Path, tiny: IsccConfig):
    config = dataclasses.replace(
        tiny,
        loss=dataclasses.replace(tiny.loss, occupancy_weight=0.0, global_weight=0.0),
        masking=dataclasses.replace(tiny.masking, per_sweep=0),
    )
    pretrain([cache_path], tmp_path / "run", config)
    page = report(tmp_path / "run")
    assert "Trained without occupancy" in page.text
    assert "Trained without global clustering" in page.text
    assert "of occupancy queries right" not in page.text


def test_the_command(run: Path, tmp_path: Path):
    out = tmp_path / "page.html"
    done = CliRunner().invoke(app, ["report", str(run), "--out", str(out), "--set", "sweeps=2", "--set", "drawn=1"])
    assert done.exit_code == 0, done.output
    assert str(out) in done.output
    assert Page(out).text.count("Sequence ") == 1


@pytest.mark.parametrize("change", ["reach_m=0", "sweeps=-1", "drawm=3"])
def test_options_are_checked(run: Path, change: str, capfd: pytest.CaptureFixture[str]):
    done = CliRunner().invoke(app, ["report", str(run), "--set", change])
    assert done.exit_code == 1
    assert change.split("=")[0][:4] in done.output + capfd.readouterr().err
