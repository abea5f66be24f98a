"""Dry run, report, export and weights of every method that ISCC is compared with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.export.write import export
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.learner import PretrainLearner, pretrain
from iscc_lidar.trainer.pretrain.method import Method, find_method, method_names
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.pretrain.recipe import config_of
from iscc_lidar.trainer.pretrain.trained import load_prototypes, load_student
from iscc_lidar.trainer.report.comparison import write_comparison
from iscc_lidar.trainer.report.report import ReportConfig, write_report
from iscc_lidar.trainer.run.checkpoint import read_checkpoint
from iscc_lidar.trainer.run.dry_run import dry_run
from iscc_lidar.trainer.run.run import open_run

ConfigOf = Callable[..., PretrainConfig]
OTHERS = [name for name in method_names() if name != "iscc"]


@pytest.fixture(scope="module", params=OTHERS)
def run(request, cache_path: Path, tiny_run_of: ConfigOf, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, long enough to be judged."""
    out = tmp_path_factory.mktemp("runs") / request.param
    pretrain([cache_path], out, tiny_run_of(request.param, "train.steps=20"))
    return out


def method_of(run: Path) -> Method[Any]:
    return find_method(config_of(open_run(run)).method.name)


def test_the_report_shows_what_there_is_and_says_what_there_is_not(run: Path, tmp_path: Path):
    method = method_of(run)
    write_report(run, None, tmp_path / "report.html", ReportConfig(sweeps=2, drawn=1))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for expected in (
        f"Pre-trained by {method.title}",
        "InfoNCE; its value for uninformative features",
        "of what guessing would be",
        f"A {method.region}",
    ):
        assert expected in page, expected
    assert f"pre-trained by {method.title} has neither prototypes nor occupancy predictions" in page
    for absent in ("Prototypes used", "Prototypes in use", "Occupancy", "Local contrast", 'id="prototypes"', "ISCC"):
        assert absent not in page, absent
    assert ("Teacher momentum" in page) == method.has_teacher


def test_its_curves_are_drawn_over_those_of_another_method(run: Path, cache_path: Path, tmp_path: Path, tiny_run_of):
    pretrain([cache_path], tmp_path / "iscc", tiny_run_of("iscc"))
    write_comparison([tmp_path / "iscc", run], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for expected in (
        "Comparison of 2 runs",
        "The total loss is left out",
        "Local contrast",
        "InfoNCE; its value for uninformative features",
        "Teacher momentum",
    ):
        assert expected in page, expected


def test_the_export_names_the_method(run: Path, tmp_path: Path):
    method = method_of(run)
    card = (export(run, "native", tmp_path / "export") / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert f"pre-trained by {method.title}, for native" in card
    assert method.about in card
    assert "| loss_contrast |" in card
    assert "Implicit Surface" not in card


def test_the_weights_load_and_no_prototypes_are_made_up(run: Path, tiny: IsccConfig):
    opened = open_run(run)
    student = load_student(opened, config_of(opened))
    torch.testing.assert_close(dict(student.state_dict()), dict(read_checkpoint(run)["network"]), rtol=0, atol=0)
    with pytest.raises(UserError, match="holds no prototypes"):
        load_prototypes(opened, tiny)


@pytest.mark.parametrize("name", OTHERS)
def test_a_dry_run_takes_its_steps(name: str, cache: Cache, tiny_run_of: ConfigOf, tmp_path: Path):
    told = dry_run(PretrainLearner([cache], tiny_run_of(name)), tmp_path / "run")
    assert "2 sequences, 12 sweeps; 6 steps of 2" in told
    assert " regions, 0 queries" in told
