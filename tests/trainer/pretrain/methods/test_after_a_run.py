"""Dry run, report, export and weights of every method that ISCC is compared with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import torch

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.export.write import export
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.learner import pretrain
from iscc_lidar.trainer.pretrain.method import find_method
from iscc_lidar.trainer.pretrain.methods.options import MethodName
from iscc_lidar.trainer.pretrain.trained import load_prototypes, load_student
from iscc_lidar.trainer.report.report import ReportConfig, write_report
from iscc_lidar.trainer.run.checkpoint import read_checkpoint
from iscc_lidar.trainer.run.dry_run import dry_run
from iscc_lidar.trainer.run.run import open_run

ConfigOf = Callable[..., PretrainConfig]
OTHERS = [name for name in get_args(MethodName) if name != "iscc"]


@pytest.fixture(scope="module", params=OTHERS)
def run(request, cache_path: Path, tiny_run_of: ConfigOf, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, long enough to be judged."""
    out = tmp_path_factory.mktemp("runs") / request.param
    pretrain(cache_path, out, tiny_run_of(request.param, "train.steps=20"))
    return out


def test_the_report_shows_what_there_is_and_says_what_there_is_not(run: Path, tmp_path: Path):
    method = find_method(read_config(run, PretrainConfig).method.name)
    write_report(run, None, tmp_path / "report.html", ReportConfig(sweeps=2, drawn=1))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for expected in (
        f"{method.title} pre-training",
        "InfoNCE; what it is for",
        "of what guessing would be",
        f"A {method.region}",
    ):
        assert expected in page, expected
    assert f"{method.title} has neither prototypes nor answers about hidden places" in page
    for absent in ("Prototypes used", "Prototypes in use", "Occupancy", "Local contrast", 'id="prototypes"', "ISCC"):
        assert absent not in page, absent
    assert ("Teacher momentum" in page) == method.has_teacher


def test_its_curves_are_drawn_over_those_of_another_method(run: Path, cache_path: Path, tmp_path: Path, tiny_run_of):
    pretrain(cache_path, tmp_path / "iscc", tiny_run_of("iscc"))
    write_report(tmp_path / "iscc", None, tmp_path / "report.html", ReportConfig(sweeps=2, drawn=1), [run])
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for expected in ("ISCC pre-training", "Local contrast", "InfoNCE; what it is for", "Teacher momentum"):
        assert expected in page, expected


def test_the_export_names_the_method(run: Path, tmp_path: Path):
    method = find_method(read_config(run, PretrainConfig).method.name)
    card = (export(run, "native", tmp_path / "export") / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert f"pre-trained by {method.title}, for native" in card
    assert method.about in card
    assert "| loss_contrast |" in card
    assert "Implicit Surface" not in card


def test_the_weights_load_and_no_prototypes_are_made_up(run: Path):
    config = read_config(run, PretrainConfig)
    student = load_student(run, config)
    saved = read_checkpoint(run)["student"]
    trained = {name: weight for name, weight in student.state_dict().items() if not name.startswith("decoder.")}
    torch.testing.assert_close(trained, saved, rtol=0, atol=0)
    with pytest.raises(UserError, match="holds no prototypes"):
        load_prototypes(run, config)


@pytest.mark.parametrize("name", OTHERS)
def test_a_dry_run_takes_its_steps(name: str, cache_path: Path, tiny_run_of: ConfigOf, tmp_path: Path):
    told = dry_run(cache_path, tmp_path / "run", tiny_run_of(name))
    assert "2 sequences, 12 sweeps; 6 steps of 2" in told
    assert " regions, 0 queries" in told
