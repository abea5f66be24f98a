from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.pretrain.recipe import find_recipes, resolve_pretrain
from iscc_lidar.trainer.pretrain.samples.ground_patches import GroundPatchConfig
from iscc_lidar.trainer.report.health import Verdict, chance_level, verdicts
from iscc_lidar.trainer.report.record import RunRecord
from iscc_lidar.trainer.run.run import Run

LINES = 100
HEALTHY = {
    "loss_global": (4.5, 2.5),
    "loss_local": (3.2, 1.4),
    "loss_occupancy": (0.69, 0.57),
    "cosine_same": (0.9, 0.9),
    "cosine_others": (0.8, 0.1),
    "prototypes_used": (60.0, 95.0),
    "agreement": (0.1, 0.5),
    "occupancy_accuracy_occupied": (0.5, 0.74),
    "occupancy_accuracy_free": (0.5, 0.70),
    "occupancy_accuracy_balanced": (0.5, 0.72),
    "groups": (60.0, 60.0),
    "gradient_norm": (3.0, 1.0),
}


def run_of(lines: int = LINES, checkpoint: int | None = 1500, **changed: tuple[float, float]) -> RunRecord:
    figures = {name: np.linspace(*ends, lines) for name, ends in (HEALTHY | changed).items()}
    run = Run(Path("run"), "pretrain", 1500, {})
    return RunRecord(run, IsccConfig(), np.arange(lines) * 15, figures, checkpoint, {}, ())


def about(run: RunRecord, words: str) -> Verdict:
    found = [v for v in verdicts(run) if words in v.about]
    assert len(found) == 1, [v.about for v in verdicts(run)]
    return found[0]


def test_a_healthy_run_is_all_good():
    assert {v.status for v in verdicts(run_of())} == {"good"}
    assert len(verdicts(run_of())) == 9


@pytest.mark.parametrize(
    ("changed", "words", "status"),
    [
        ({"loss_local": (3.0, 3.0)}, "Local contrast hardly moves", "watch"),
        ({"loss_local": (1.0, 3.0)}, "Local contrast rises", "bad"),
        ({"loss_global": (9.0, 5.0)}, "Global clustering falls, but is no better than guessing", "watch"),
        ({"cosine_others": (0.8, 0.89)}, "Collapse", "bad"),
        ({"cosine_others": (0.8, 0.7)}, "Groups are hardly apart", "watch"),
        ({"prototypes_used": (60.0, 3.0)}, "Prototypes in use", "bad"),
        ({"prototypes_used": (60.0, 30.0)}, "Prototypes in use", "watch"),
        ({"agreement": (0.01, 0.02)}, "disagree", "watch"),
        ({"occupancy_accuracy_balanced": (0.5, 0.51)}, "no better than a coin", "bad"),
        ({"occupancy_accuracy_balanced": (0.5, 0.6)}, "hardly better than a coin", "watch"),
        ({"occupancy_accuracy_occupied": (0.5, 0.99)}, "lean to one side", "watch"),
        ({"gradient_norm": (9.0, 8.0)}, "Gradient", "watch"),
    ],
)
def test_what_is_wrong_is_said(changed: dict[str, tuple[float, float]], words: str, status: str):
    run = run_of(**changed)
    assert about(run, words).status == status
    assert sum(v.status != "good" for v in verdicts(run)) == 1


@pytest.mark.parametrize(
    ("loss", "guessing", "words", "status"),
    [
        ((4.0, 6.0), (4.5, 10.0), "Contrast falls", "good"),  # the queue fills: both rise
        ((4.0, 9.5), (4.2, 10.0), "Contrast hardly moves", "watch"),
        ((3.0, 9.9), (4.5, 10.0), "Contrast rises", "bad"),
        ((9.0, 7.2), (7.0, 7.0), "Contrast falls, but is no better than guessing", "watch"),
    ],
)
def test_contrast_is_judged_against_guessing_at_the_same_time(loss, guessing, words: str, status: str):
    run = run_of(loss_contrast=loss, guessing=guessing)
    run = dataclasses.replace(run, config=resolve_pretrain(find_recipes(["depthcontrast"])))
    assert about(run, words).status == status
    assert [v.about for v in verdicts(run) if v.about.startswith("Contrast")] == [words]
    assert about(run, "No collapse").finding.startswith("A scene's two views")
    assert not any("rototypes" in v.about or "Occupancy" in v.about for v in verdicts(run))


def test_a_short_log_is_not_judged():
    assert [v.status for v in verdicts(run_of(lines=19))] == ["unknown"]


def test_a_run_that_ended_early_says_where():
    verdict = about(run_of(checkpoint=400), "Not finished")
    assert "Step 1,486 of 1,500; checkpoint at step 400" in verdict.finding
    assert "no checkpoint yet" in about(run_of(checkpoint=None), "Not finished").finding


def test_what_the_recipe_leaves_out_is_not_judged():
    run = run_of()
    only = dataclasses.replace(run.config.loss, global_weight=0.0, local_weight=0.0)
    run = dataclasses.replace(run, config=dataclasses.replace(run.config, loss=only))
    assert [v.about.split()[0] for v in verdicts(run)] == ["Finished", "Occupancy", "Occupancy:", "Gradient"]


def test_chance_is_that_of_features_that_tell_nothing():
    run = run_of()
    assert chance_level(run, "loss_global") == pytest.approx(math.log(100))
    alone, ground = (dataclasses.replace(run.config, ground_patches=GroundPatchConfig(count=n)) for n in (0, 4))
    level = chance_level(dataclasses.replace(run, config=alone), "loss_local")
    assert level == pytest.approx(math.log(60 / run.config.train.batch_size))
    n = 60 // run.config.train.batch_size
    told_from = [n] * (n - 4) + [n - 4 + 1] * 4
    assert chance_level(dataclasses.replace(run, config=ground), "loss_local") == pytest.approx(
        np.log(told_from).mean()
    )
    assert chance_level(run, "loss_occupancy") == pytest.approx(math.log(2))
    assert chance_level(run, "gradient_norm") is None
