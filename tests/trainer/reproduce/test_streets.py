"""Streets: read from options, planned with shared runs, scored on the classes that both sides have."""

import csv
import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscc_lidar.shared.base.config import resolve
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.reproduce.config import ReproduceConfig
from iscc_lidar.trainer.reproduce.page import page
from iscc_lidar.trainer.reproduce.plan import Caches, Draw, fine_tunings, plan
from iscc_lidar.trainer.reproduce.reproduce import PRESETS, reproduce
from iscc_lidar.trainer.reproduce.results import Result
from iscc_lidar.trainer.reproduce.streets import Part, Street, classes_in, names_in, read_streets, score_street
from iscc_lidar.trainer.reproduce.tables import street_tables

NAMES = ("unlabelled", "car", "truck", "road", "pole", "building")
CACHES = Caches({"standard": ["raw", "more"], "labelled": ["streets"]}, None)
OUT = Path("out")
TWO = ("away: 40 -> 00[0-24]", "near: 40 -> 42", "both: 00[0-11] + 40 -> 70")


def test_streets_are_read_as_they_are_written():
    away, near, both = read_streets(TWO, ["both: pole = building, truck=car", "both: road=building"])
    assert away == Street("away", (Part("40"),), (Part("00", 0, 24),))
    assert both.learn == (Part("00", 0, 11), Part("40"))
    assert both.merged == (("pole", "building"), ("truck", "car"), ("road", "building"))
    assert near.title == TWO[1]
    assert away.title == TWO[0]


@pytest.mark.parametrize(
    ("streets", "merges", "said"),
    [
        (["40 -> 00"], [], "expected NAME: SEQUENCE"),
        (["a: 40"], [], "expected NAME: SEQUENCE"),
        (["a: 40[3] -> 00"], [], r"not '40\[3\]'"),
        (["a: 40[5-3] -> 00"], [], r"not '40\[5-3\]'"),
        (["a: 40 + -> 00"], [], "not ''"),
        (["../a: 40 -> 00"], [], "cannot name a street"),
        (["a: 40 -> 00", "a: 41 -> 00"], [], "no name twice"),
        (["a: 40 -> 00[0-3]", "b: 40 -> 00[7-9]"], [], "scores a sequence twice"),
        (["a: 40 -> 00"], ["b: pole=building"], "merge_classes: no street b"),
        (["a: 40 -> 00"], ["a: pole"], "merge_classes: expected STREET"),
    ],
)
def test_what_is_no_street_is_refused(streets: list[str], merges: list[str], said: str):
    with pytest.raises(ValueError, match=said):
        ReproduceConfig(streets=tuple(streets), merge_classes=tuple(merges))


def test_streets_that_learn_from_the_same_share_a_run_and_spread_labels_come_before_it():
    config = ReproduceConfig(
        experiments=("scratch", "iscc"),
        streets=TWO,
        counts=(1, 3),
        labels=("alone", "both"),
        seeds=(0,),
        finetune_recipes=("quick", "flat", "linear"),
        finetune_set=("train.loader_workers=0", "flat:train.steps=7"),
    )
    runs, jobs = fine_tunings(config), plan(config, CACHES, OUT)
    kinds = 2 * 2 * 2  # counts, sweeps learnt from, labels
    assert len(runs) == kinds * (2 + 2 + 1), "the probe has no run from scratch"
    assert sum(job.name.startswith("finetune/") for job in jobs) == len(runs)
    assert sum(job.name.startswith("spread/") for job in jobs) == kinds // 2
    seen: set[str] = set()
    for job in jobs:
        assert seen.issuperset(job.needs)
        seen.add(job.name)
    by_name = {job.name: job for job in jobs}
    pretraining = by_name["pretrain/iscc/seed0"].arguments
    assert [word for flag, word in itertools.pairwise(pretraining) if flag == "--cache"] == [
        "raw",
        "more",
    ]
    alone = by_name["finetune/flat/scratch/00_0-11+40/sweeps3-seed0"].arguments
    assert "labels.sweeps=6" in alone, "three for each sequence"
    assert "train.steps=7" in alone
    assert alone[alone.index("--among") + 1] == "out/lists/00_0-11+40.txt"
    spread = by_name["finetune/both/quick/iscc/40/sweeps1-seed0"]
    assert spread.needs == ("pretrain/iscc/seed0", "spread/both/40/sweeps1-seed0")
    assert "train.steps=7" not in spread.arguments
    assert "out/spread/both/40/sweeps1-seed0" in spread.arguments
    assert spread.arguments[spread.arguments.index("--val-list") + 1] == "out/lists/00_0-24+42.txt"
    before = by_name["spread/both/40/sweeps1-seed0"]
    assert before.program == "iscc-cache"
    assert "out/lists/40/sweeps1-seed0.txt" in before.arguments


def test_without_streets_labels_are_spread_from_drawn_percents():
    config = ReproduceConfig(experiments=("scratch",), percents=(1.0,), seeds=(2,), labels=("alone", "position"))
    jobs = {job.name: job for job in plan(config, dataclasses.replace(CACHES, test="test"), OUT)}
    assert list(jobs) == [
        "finetune/quick/scratch/percent1-seed2",
        "spread/position/percent1-seed2",
        "finetune/position/quick/scratch/percent1-seed2",
    ]
    assert Draw(1.0, 2).options == ("labels.percent=1.0", "labels.seed=2")


@pytest.mark.parametrize("preset", ["real", "real-full"])
def test_the_presets_of_streets_can_be_planned(preset: str):
    config = resolve(ReproduceConfig, PRESETS / f"{preset}.toml")
    assert {street.learn for street in config.all_streets()}
    assert plan(config, CACHES, OUT)


counts = st.dictionaries(
    st.sampled_from(NAMES), st.dictionaries(st.sampled_from(NAMES), st.integers(1, 9), min_size=1), min_size=1
)


@given(counts, st.sets(st.sampled_from(NAMES[1:]), min_size=1), st.booleans())
def test_a_street_is_scored_as_if_points_of_other_classes_were_not_there(
    found: dict[str, dict[str, int]], learnt: set[str], merge: bool
):
    into = {"pole": "building"} if merge else {}
    street = Street("a", (Part("40"),), (Part("00"),), tuple(into.items()))
    points = [(into.get(t, t), into.get(p, p)) for t, of in found.items() for p, n in of.items() for _ in range(n)]
    common = {into.get(name, name) for name in learnt}
    counted = [(t, p) for t, p in points if t in common]
    if not counted:
        with pytest.raises(UserError, match="no class that is scored is learnt"):
            score_street(street, {"00": found}, learnt, NAMES, "semantickitti")
        return
    iou = {}
    for name in sorted({t for t, _ in counted}):
        both, either = (sum(f((t == name, p == name)) for t, p in counted) for f in (all, any))
        iou[name] = both / either
    scores = score_street(street, {"00": found, "99": {"car": {"road": 50}}}, learnt, NAMES, "semantickitti")
    assert {name: value for name, value in scores["iou"].items() if value is not None} == pytest.approx(iou)
    assert scores["miou"] == pytest.approx(np.mean(list(iou.values())))
    assert scores["accuracy"] == pytest.approx(np.mean([t == p for t, p in counted]))


def test_a_class_that_is_none_cannot_be_merged():
    street = Street("a", (Part("40"),), (Part("00"),), (("post", "building"),))
    with pytest.raises(UserError, match="semantickitti has no class post"):
        score_street(street, {"00": {"car": {"car": 1}}}, {"car"}, NAMES, "semantickitti")


def test_sweeps_of_a_street_are_those_with_labels(cache: Cache, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Cache, "labelled_sweeps", lambda _, name: [0, 2, 5])
    assert names_in(cache, [Part("00", 1, 5)]) == [("00", "000002"), ("00", "000005")]
    assert classes_in(cache, [Part("00", 1, 5)]) == {"car", "wall", "pole", "ground"}
    with pytest.raises(UserError, match="has 6 sweeps of this sequence"):
        names_in(cache, [Part("00", 1, 6)])
    with pytest.raises(UserError, match="no sweep of 00"):
        names_in(cache, [Part("00", 3, 4)])


def result(street: str, method: str, seed: int, miou: float, **more: Any) -> Result:
    pretraining = None if method == "scratch" else seed
    run = Result(method, "quick", "kitti", "flat", street, "alone", False, 1, seed, pretraining, miou, miou, 80.0, {})
    return dataclasses.replace(run, **more)


def test_the_table_has_gains_on_each_street_and_their_mean_over_streets():
    results = [
        result(street, method, seed, miou)
        for street, start, gain in (("away", 20, 3), ("near", 30, 5))
        for seed in (0, 1)
        for method, miou in (("scratch", start + seed), ("iscc", start + seed + gain + seed))
    ]
    text = street_tables(results, {"away": "away: 40 -> 00"})
    assert text.splitlines()[2:] == [
        "| street | labelled | from scratch | ISCC | gain |",
        "|---|---|---|---|---|",
        "| away: 40 -> 00 | 1 | 20.5 ± 0.7 | 24.0 ± 1.4 | +3.5 ± 0.7 |",
        "| near | 1 | 30.5 ± 0.7 | 36.0 ± 1.4 | +5.5 ± 0.7 |",
        "| mean over streets | 1 | 25.5 ± 7.1 | 30.0 ± 8.5 | +4.5 ± 1.4 |",
    ]
    spread = [dataclasses.replace(r, labels="both", averaged=True) for r in results]
    both = street_tables([*results, *spread], {})
    assert "fine-tuned by flat on labels spread by position and groups, averaged over groups" in both
    probe = street_tables([r for r in results if r.method == "iscc"], {})
    assert "| street | labelled | ISCC |" in probe, "no gains without runs from scratch"
    assert page("streets", {}, both, [*results, *spread]).count("<figure>") == 2


@pytest.mark.slow
def test_a_table_of_streets_from_caches(cache_path: Path, tmp_path: Path):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text("[train]\nsteps = 2\nloader_workers = 0\n")
    config = ReproduceConfig(
        experiments=("scratch",),
        streets=("near: 00[0-2] -> 01", "same: 00[0-2] + 01[0-2] -> 01[4-5]"),
        labels=("alone", "both"),
        average_groups=True,
        seeds=(0,),
        finetune_recipes=(str(recipe),),
        jobs=2,
    )
    caches = Caches({"standard": [cache_path]}, None)
    text = reproduce(config, caches, tmp_path / "out")
    assert text.count("mean over streets") == 4
    with (tmp_path / "out/results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert all(0 <= float(row["miou"]) <= 100 and not math.isnan(float(row["accuracy"])) for row in rows)
    assert reproduce(config, caches, tmp_path / "out") == text
    assert not (tmp_path / "out/curves.png").exists(), "there is no gain to draw"
