import dataclasses
from pathlib import Path

import pytest

from iscc_lidar.shared.base.config import resolve
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.finetune.semseg.config import SemsegConfig
from iscc_lidar.trainer.pretrain.recipe import find_recipes, resolve_pretrain
from iscc_lidar.trainer.reproduce.config import ReproduceConfig
from iscc_lidar.trainer.reproduce.experiments import ABLATION, ALL, FURTHER, SEGMENTATION
from iscc_lidar.trainer.reproduce.plan import Caches, fine_tunings, plan
from iscc_lidar.trainer.reproduce.reproduce import PRESETS

CACHES = Caches({"standard": [Path("train")]}, Path("test"))
OUT = Path("out")


def test_every_job_comes_after_those_that_it_needs_and_pre_training_is_shared_by_fractions():
    config = ReproduceConfig(experiments=("scratch", "iscc", "segcontrast"), percents=(1.0, 10.0), seeds=(0, 1))
    jobs = plan(config, CACHES, OUT)
    assert len([j for j in jobs if j.name.startswith("pretrain/")]) == 4
    assert len([j for j in jobs if j.name.startswith("finetune/")]) == 12 == len(fine_tunings(config))
    seen: set[str] = set()
    for job in jobs:
        assert seen.issuperset(job.needs)
        seen.add(job.name)
    assert len(seen) == len(jobs)


def test_experiments_differ_in_their_encoder_alone():
    config = ReproduceConfig(experiments=("scratch", "iscc"), percents=(1.0,), seeds=(3,))
    scratch, iscc = (j for j in plan(config, CACHES, OUT) if j.name.startswith("finetune/"))
    plain = [word.replace("/iscc/", "/scratch/") for word in iscc.arguments]
    place = plain.index("--encoder")
    assert plain[:place] + plain[place + 2 :] == list(scratch.arguments)
    assert "labels.seed=3" in scratch.arguments


def test_seeds_share_fewer_pre_trainings_alternately():
    config = ReproduceConfig(experiments=("scratch", "iscc"), percents=(1.0,), seeds=(0, 1, 2), pretrainings=2)
    jobs = {j.name: j for j in plan(config, CACHES, OUT)}
    assert [name for name in jobs if name.startswith("pretrain/")] == ["pretrain/iscc/seed0", "pretrain/iscc/seed1"]
    needs = [jobs[f"finetune/quick/iscc/percent1-seed{seed}"].needs for seed in config.seeds]
    assert needs == [("pretrain/iscc/seed0",), ("pretrain/iscc/seed1",), ("pretrain/iscc/seed0",)]
    assert [t.pretraining for t in fine_tunings(config)] == [None, 0, None, 1, None, 0]
    assert "labels.seed=2" in jobs["finetune/quick/iscc/percent1-seed2"].arguments


def test_from_scratch_it_is_the_network_that_is_pre_trained():
    config = ReproduceConfig(experiments=("scratch",), pretrain_recipes=("minkunet",), pretrain_set=("model.blocks=3",))
    arguments = plan(config, CACHES, OUT)[0].arguments
    given = [word for word in arguments if word.startswith("model.")]
    tuned, pretrained = resolve(SemsegConfig, None, given), resolve_pretrain(find_recipes(["minkunet"]))
    assert tuned.model == dataclasses.replace(pretrained.model, blocks=3)
    assert not any(word.startswith("model.") for job in plan(ReproduceConfig(), CACHES, OUT) for word in job.arguments)


def test_each_encoder_is_fine_tuned_by_each_recipe_in_a_folder_of_its_own():
    config = ReproduceConfig(
        experiments=("iscc",), percents=(1.0,), seeds=(0,), finetune_recipes=("long", "my/short.toml")
    )
    names = [j.name for j in plan(config, CACHES, OUT)]
    schedules = ["long", "short"]
    assert names == ["pretrain/iscc/seed0", *(f"finetune/{name}/iscc/percent1-seed0" for name in schedules)]


def test_options_of_an_experiment_reach_that_one_alone():
    config = ReproduceConfig(experiment_set=("segcontrast:teacher.momentum_start=0.99",), seeds=(0,), percents=(1.0,))
    given = {j.name: "teacher.momentum_start=0.99" in j.arguments for j in plan(config, CACHES, OUT)}
    assert [name for name, has in given.items() if has] == ["pretrain/segcontrast/seed0"]


def test_a_given_list_is_taken_instead_of_a_draw_by_every_seed():
    config = ReproduceConfig(experiments=("scratch",), seeds=(0, 1), label_lists=("10=lists/ten.txt",))
    jobs = {job.name: job.arguments for job in plan(config, CACHES, OUT)}
    for seed in config.seeds:
        drawn, given = (jobs[f"finetune/quick/scratch/percent{percent}-seed{seed}"] for percent in (1, 10))
        assert given[given.index("--labelled") + 1] == "lists/ten.txt"
        assert "--labelled" not in drawn
        assert "labels.percent=1.0" in drawn


def test_an_experiment_without_its_cache_is_refused():
    config = ReproduceConfig(experiments=("ground_kept",))
    with pytest.raises(UserError, match="--cache ground_kept=PATH"):
        plan(config, CACHES, OUT)
    caches = dataclasses.replace(CACHES, train={"standard": [Path("train")], "ground_kept": [Path("kept")]})
    pretraining = plan(config, caches, OUT)[0]
    assert pretraining.arguments[pretraining.arguments.index("--cache") + 1] == "kept"


@pytest.mark.parametrize(
    ("names", "said"),
    [(("labelled",), "--cache standard=PATH"), (("standard", "labeled"), "--cache labeled=.*: no such name")],
)
def test_caches_without_the_standard_one_or_by_a_name_that_nothing_reads_are_refused(names: tuple[str, ...], said: str):
    with pytest.raises(UserError, match=said):
        Caches({name: [Path(name)] for name in names}, Path("test"))


def test_labels_may_be_of_another_cache_than_what_is_pre_trained_on():
    config = ReproduceConfig(experiments=("iscc",), percents=(1.0,), seeds=(0,))
    caches = dataclasses.replace(CACHES, train={"standard": [Path("raw")], "labelled": [Path("few")]})
    pretraining, tuning = plan(config, caches, OUT)
    assert pretraining.arguments[pretraining.arguments.index("--cache") + 1] == "raw"
    assert tuning.arguments[tuning.arguments.index("--train-cache") + 1] == "few"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"experiments": ("scratch", "isc")}, "no experiment isc"),
        ({"percents": (0.0,)}, "above 0"),
        ({"seeds": ()}, "must each have at least one"),
        ({"pretrainings": -1}, "pretrainings must be at least 0 and at most 1e.06, not -1"),
        ({"experiment_set": ("segcontrst:train.steps=1",)}, "experiment_set: expected"),
        ({"finetune_recipes": ("a", "b/a.toml")}, "none twice"),
        ({"finetune_recipes": ()}, "at least one"),
        ({"label_lists": ("1",)}, "label_lists: expected PERCENT=PATH, each percentage once, not 1"),
        ({"label_lists": ("1=a", "1.0=b")}, "each percentage once, not 1.0=b"),
        ({"label_lists": ("nan=a",)}, "label_lists: expected"),
        ({"label_lists": ("2=a",)}, "label_lists: 2: not among percents"),
    ],
)
def test_options_that_cannot_be_are_refused(changes: dict[str, tuple[object, ...]], said: str):
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(ReproduceConfig(), **changes)


def test_every_experiment_has_its_recipes_and_those_of_the_authors_are_all_there():
    for experiment in ALL.values():
        for recipe in experiment.recipes or ():
            assert find_recipes([recipe])[0].exists()
    assert SEGMENTATION[0].name == "scratch"
    assert len(ABLATION) == 8
    assert len(FURTHER) == 11


@pytest.mark.parametrize("preset", ["quick", "full", "public", "long", "small", "real", "real-full"])
def test_presets_can_be_planned(preset: str):
    config = resolve(ReproduceConfig, PRESETS / f"{preset}.toml")
    caches = dataclasses.replace(CACHES, train={n: [Path(n)] for n in ("standard", "ground_kept", "single_sweep")})
    assert plan(config, caches, OUT)
    assert set(config.experiments) == set(ALL) if preset == "full" else "scratch" in config.experiments
    if "surroundings" in config.experiments and preset != "full":
        scratch, pretrained = (
            next(job for job in plan(config, caches, OUT) if f"/{name}/" in job.name and job.name.startswith(part))
            for part, name in (("finetune", "scratch"), ("pretrain", "surroundings"))
        )
        assert "model.out_levels=2" in scratch.arguments, "the same network"
        assert "model.out_levels=2" in pretrained.arguments
