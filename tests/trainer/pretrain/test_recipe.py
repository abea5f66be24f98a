"""Options of pre-training: what each method has and starts from, and what the shipped recipes make of them."""

import dataclasses
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from iscc_lidar.shared.base.config import to_toml
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.cli import app
from iscc_lidar.trainer.pretrain.config import RECIPES, PretrainConfig
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.pretrain.recipe import find_recipes, resolve_pretrain

SHARED = ["method", "model", "data", "augment", "voxel_samples", "heads", "train"]
OWN = {
    "iscc": ["masking", "occupancy", "surroundings", "ground_patches", "loss", "prototypes", "local", "teacher"],
    "segcontrast": ["queue", "teacher"],
    "depthcontrast": ["queue", "teacher"],
    "pointcontrast": ["contrast"],
    "sspl": ["contrast", "volumes"],
}
"""Sections of each method besides the shared ones."""
BASELINE = {
    "model": {
        "voxel_size": 0.2,
        "out_levels": 1,
        "in_channels": 4,
        "stem_width": 24,
        "encoder_widths": (32, 32, 48, 48),
        "decoder_widths": (32, 32, 32, 32),
        "blocks": 1,
    },
    "data": {"partner": "same", "min_group_points": 10, "max_range_m": 80.0},
    "augment": {
        "rotate_deg": 180.0,
        "flip": True,
        "scale": 0.05,
        "jitter_m": 0.01,
        "drop": 0.1,
        "rotate_groups": 0.0,
    },
    "voxel_samples": {"voxels": 0, "max_parts": 32},
    "heads": {"project_hidden": 128, "project_norm": True, "project_channels": 128},
    "train": {
        "device": "auto",
        "engine": "auto",
        "activation_checkpointing": False,
        "loader_workers": 2,
        "keep_sweeps": 64,
        "log_every": 10,
        "checkpoint_every": 200,
        "tensorboard": False,
        "batch_size": 2,
        "micro_batches": 1,
        "precision": "auto",
        "weight_decay": 0.01,
        "clip_norm": 5.0,
        "seed": 0,
        "steps": 1500,
        "learning_rate": 4e-3,
    },
}
"""What the four methods that ISCC is compared with have in common."""
QUEUE = {
    "queue": {"temperature": 0.1, "size": 65_536},
    "teacher": {"momentum_start": 0.999, "momentum_end": 0.999},
}
BASELINES = {
    "segcontrast": QUEUE,
    "depthcontrast": QUEUE,
    "pointcontrast": {"contrast": {"temperature": 0.07, "negatives": "batch", "matches": 1024}},
    "sspl": {
        "contrast": {"temperature": 0.1, "negatives": "batch", "matches": 1024},
        "volumes": {"edge_m": 1.0},
    },
}


def sections(config: PretrainConfig) -> list[str]:
    return [field.name for field in dataclasses.fields(config)]


def of(*recipes: str) -> PretrainConfig:
    return resolve_pretrain(find_recipes(recipes))


@pytest.mark.parametrize("name", OWN)
def test_a_method_has_its_own_sections_and_sees_those_of_no_other(name: str):
    assert sections(resolve_pretrain([], [f"method.name={name}"])) == SHARED + OWN[name]


@pytest.mark.parametrize("name", BASELINES)
def test_a_methods_name_alone_is_the_method_as_published(name: str, tmp_path: Path):
    (tmp_path / "alone.toml").write_text(f'[method]\nname = "{name}"\n')
    config = resolve_pretrain([tmp_path / "alone.toml"])
    assert dataclasses.asdict(config) == {"method": {"name": name}} | BASELINE | BASELINES[name]
    assert config == resolve_pretrain([], [f"method.name={name}"]) == of(name)


def test_without_a_recipe_it_is_iscc_as_a_whole():
    config = resolve_pretrain()
    assert config == IsccConfig() == of("iscc")
    assert config.augment.rotate_groups == 0.5
    assert config.ground_patches.count == 24
    assert config.masking.per_sweep == 16
    assert config.data.partner == "window"
    assert config.voxel_samples.voxels == 1
    assert config.loss.global_weight == config.loss.local_weight == config.loss.occupancy_weight == 1.0


@pytest.mark.parametrize(
    ("method", "option", "nearest"),
    [
        ("segcontrast", "prototypes.count=3", "unknown option prototypes; the nearest is "),
        ("segcontrast", "queues.size=3", "unknown option queues; the nearest is queue "),
        ("iscc", "contrast.matches=5", "unknown option contrast; the nearest is "),
        ("iscc", "occupancy.per_groups=5", "unknown option occupancy.per_groups; the nearest is occupancy.per_group "),
        ("sspl", "volumes.edge=2.0", "unknown option volumes.edge; the nearest is volumes.edge_m "),
        ("pointcontrast", "contrast.edge_m=2.0", "unknown option contrast.edge_m; the nearest is contrast."),
        ("pointcontrast", "teacher.momentum_start=0.9", "unknown option teacher; the nearest is "),
    ],
)
def test_an_option_of_another_method_is_refused_with_the_nearest_name(method: str, option: str, nearest: str):
    with pytest.raises(UserError) as refused:
        resolve_pretrain([], [f"method.name={method}", option])
    assert str(refused.value).startswith(f"--set {option}: {nearest}")
    own = option.partition(".")[0] in SHARED + OWN[method]
    known = "known here: " if own else f"known here: {', '.join(SHARED + OWN[method])}"
    assert known in str(refused.value)


def test_a_table_below_a_methods_name_holds_for_that_method_alone(tmp_path: Path):
    recipe = tmp_path / "both.toml"
    recipe.write_text(
        "[train]\nsteps = 7\n[iscc.train]\nsteps = 9\n[iscc.loss]\nglobal_weight = 0.5\n[segcontrast.queue]\nsize = 8\n"
    )
    iscc, segcontrast = resolve_pretrain([recipe]), resolve_pretrain([recipe], ["method.name=segcontrast"])
    assert (iscc.train.steps, iscc.loss.global_weight) == (9, 0.5)
    assert (segcontrast.train.steps, segcontrast.queue.size) == (7, 8)
    assert resolve_pretrain([recipe], ["method.name=sspl"]).train.steps == 7
    assert resolve_pretrain([recipe], ["iscc.train.steps=11"]).train.steps == 11
    with pytest.raises(UserError, match=r"unknown option loss\.global; the nearest is loss\.global_weight"):
        resolve_pretrain([], ["iscc.loss.global=1.0"])


def test_quick_shortens_iscc_and_leaves_other_methods_as_they_are():
    quick, plain = of("quick"), of("iscc")
    assert (quick.loss.global_weight, quick.loss.local_weight, quick.loss.occupancy_weight) == (0.2, 1.0, 2.0)
    assert (quick.masking.per_sweep, quick.occupancy.per_group, quick.occupancy.near) == (0, 128, False)
    assert (quick.prototypes.momentum, quick.teacher.momentum_start) == (0.9, 0.9)
    assert (quick.augment, quick.ground_patches, quick.local) == (plain.augment, plain.ground_patches, plain.local)
    for name in BASELINES:
        short, full = of("quick", name), of(name)
        train = dataclasses.replace(full.train, steps=600, batch_size=1, learning_rate=8e-3)
        data = dataclasses.replace(full.data, max_range_m=50.0)
        assert short == dataclasses.replace(full, train=train, data=data)


@pytest.mark.parametrize(
    ("name", "losses", "extra"),
    [
        ("iscc", (True, True, True), {"augment.rotate_groups": 0.5, "ground_patches.count": 24}),
        ("occ_only_8", (False, False, True), {"occupancy.per_group": 8}),
        ("occ_only_16", (False, False, True), {"occupancy.per_group": 16}),
        ("occ_only_32", (False, False, True), {"occupancy.per_group": 32}),
        ("local_only", (False, True, False), {"masking.per_sweep": 0}),
        ("global_only", (True, False, False), {"masking.per_sweep": 0}),
        ("full_100", (True, True, False), {"prototypes.count": 100}),
        ("full_200", (True, True, False), {"prototypes.count": 200}),
    ],
)
def test_the_rows_of_the_deck_are_recipes_of_a_few_lines(name, losses, extra):
    config = of(name)
    loss = config.loss
    assert (loss.global_weight > 0, loss.local_weight > 0, loss.occupancy_weight > 0) == losses
    for key, value in extra.items():
        section, option = key.split(".")
        assert getattr(getattr(config, section), option) == value
    (path,) = find_recipes([name])
    assert sum(len(v) for v in tomllib.loads(path.read_text()).values()) <= 4


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("same_sweep", "data.partner", "same"),
        ("no_masking", "masking.per_sweep", 0),
        ("unrotated", "augment.rotate_groups", 0.0),
        ("groups_only", "ground_patches.count", 0),
        ("whole_groups", "voxel_samples.voxels", 0),
        ("surroundings", "loss.surroundings_weight", 1.0),
        ("assign_softmax", "prototypes.assign", "softmax"),
        ("assign_argmax", "prototypes.assign", "argmax"),
    ],
)
def test_an_ablation_changes_one_option(name, option, value):
    assert of(name) == resolve_pretrain([], [f"{option}={value}".lower()])
    assert of(name) != of("iscc")


@pytest.mark.parametrize(
    ("recipes", "expected"),
    [
        (["quick", "occ_only_8"], {"occupancy.per_group": 8, "masking.per_sweep": 0, "loss.global_weight": 0.0}),
        (["quick", "local_only"], {"masking.per_sweep": 0, "loss.local_weight": 1.0, "loss.global_weight": 0.0}),
        (["quick", "full_200"], {"prototypes.count": 200, "prototypes.momentum": 0.9, "masking.per_sweep": 0}),
        (["iscc", "unrotated"], {"augment.rotate_groups": 0.0, "ground_patches.count": 24}),
        (["quick", "groups_only"], {"augment.rotate_groups": 0.5, "ground_patches.count": 0}),
        (["minkunet", "no_masking"], {"masking.per_sweep": 0, "ground_patches.count": 24}),
        (["quick", "segcontrast"], {"method.name": "segcontrast", "teacher.momentum_end": 0.999}),
        (["minkunet", "segcontrast"], {"model.blocks": 2, "method.name": "segcontrast", "augment.rotate_groups": 0.0}),
        (["quick", "surroundings"], {"loss.surroundings_weight": 1.0, "loss.occupancy_weight": 2.0}),
        (["segcontrast", "voxel_samples"], {"method.name": "segcontrast", "voxel_samples.voxels": 1}),
        (["segcontrast", "quick"], {"method.name": "segcontrast", "train.steps": 600, "teacher.momentum_start": 0.999}),
        (["quick", "pointcontrast"], {"contrast.temperature": 0.07, "train.steps": 600}),
        (["quick", "sspl"], {"augment.rotate_groups": 0.0, "augment.rotate_deg": 180.0}),
        (["occ_only_8", "quick"], {"occupancy.per_group": 128, "loss.global_weight": 0.2}),
    ],
)
def test_recipes_combine_later_over_earlier(recipes, expected, tmp_path: Path):
    given = [word for name in recipes for word in ("--recipe", name)]
    shown = CliRunner().invoke(app, ["pretrain", *given, "--show-config"])
    assert shown.exit_code == 0, shown.output
    (tmp_path / "shown.toml").write_text(shown.output, encoding="utf-8")
    config = resolve_pretrain([tmp_path / "shown.toml"])
    assert {key: getattr(getattr(config, key.split(".")[0]), key.split(".")[1]) for key in expected} == expected
    if recipes[0] == "quick":
        assert config.train == of("quick").train


@pytest.mark.parametrize("name", OWN)
def test_options_written_as_a_recipe_are_read_back(name: str, tmp_path: Path):
    config = of("quick", name)
    (tmp_path / "config.toml").write_text(to_toml(config), encoding="utf-8")
    assert resolve_pretrain([tmp_path / "config.toml"]) == config


def test_quick_is_the_whole_method_made_short():
    config = of("quick")
    assert min(config.loss.global_weight, config.loss.local_weight, config.loss.occupancy_weight) > 0
    assert config.train.steps * config.train.batch_size <= 600


def test_every_shipped_recipe_is_tested_above():
    bases = ["iscc", "quick", "minkunet"]
    rows = ["occ_only_8", "occ_only_16", "occ_only_32", "local_only", "global_only", "full_100", "full_200"]
    ablations = ["same_sweep", "no_masking", "unrotated", "groups_only", "whole_groups", "surroundings"]
    assignments = ["assign_softmax", "assign_argmax"]
    others = ["segcontrast", "pointcontrast", "depthcontrast", "sspl", "voxel_samples"]
    assert {p.stem for p in RECIPES.glob("*.toml")} == {*bases, *rows, *ablations, *assignments, *others}
