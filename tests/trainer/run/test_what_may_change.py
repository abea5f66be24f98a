"""Between a run and its resumption some options may change, without a trace in the result; all others are refused."""

import dataclasses
import json
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import torch

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.hardware.device import ON_CPU, Compute
from iscc_lidar.trainer.pretrain.learner import PretrainLearner, pretrain
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.run.folder import first_step
from iscc_lidar.trainer.run.loop import plan_of
from iscc_lidar.trainer.run.options import FREE_TO_CHANGE
from iscc_lidar.trainer.run.state import new_state, restore, save

from steps import KilledError, die_in_step

EVERY_OPTION = [
    (section.name, option.name)
    for section in dataclasses.fields(IsccConfig)
    for option in dataclasses.fields(section.default_factory())
]


@pytest.fixture
def interrupted(cache_path: Path, tiny: IsccConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that died in its fifth step; the checkpoint holds three."""
    with monkeypatch.context() as patch:
        die_in_step(patch, 4)
        with pytest.raises(KilledError):
            pretrain([cache_path], tmp_path / "run", tiny)
    return tmp_path / "run"


@pytest.fixture(scope="module")
def whole(cache_path: Path, tiny: IsccConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert pretrain([cache_path], out, tiny)
    return out


def another(value: Any, hint: Any) -> Any:
    """Another value that the option can have."""
    choices = [choice for choice in get_args(hint) if isinstance(choice, str)]
    if choices:
        return next(choice for choice in choices if choice != value)
    if isinstance(value, tuple):
        return (*value[:-1], value[-1] + type(value[-1])(8))
    if isinstance(value, float) and value:
        return value / 2
    return not value if isinstance(value, bool) else value + type(value)(1)


def changed(config: IsccConfig, section: str, option: str) -> IsccConfig:
    old = getattr(config, section)
    value = another(getattr(old, option), get_type_hints(type(old))[option])
    assert value != getattr(old, option)
    return dataclasses.replace(config, **{section: dataclasses.replace(old, **{option: value})})


def test_every_option_is_free_to_change_or_refused_by_name(cache: Cache, tiny: IsccConfig, interrupted: Path):
    plan = plan_of(PretrainLearner([cache], tiny), ON_CPU)
    assert first_step(interrupted, plan, resume=True, overwrite=False) == 3
    free, impossible = set(), set()
    for section, option in EVERY_OPTION:
        try:
            other = dataclasses.replace(plan, config=changed(tiny, section, option))
        except ValueError:  # no run has another value, or not together with this batch size
            impossible.add(f"{section}.{option}")
            continue
        if section == "train" and option in FREE_TO_CHANGE:
            assert first_step(interrupted, other, resume=True, overwrite=False) == 3
            free.add(option)
            continue
        with pytest.raises(UserError) as refused:
            first_step(interrupted, other, resume=True, overwrite=False)
        assert "holds a run with other options:" in str(refused.value)
        assert f"\n- {section}.{option} is " in str(refused.value)
        assert "--overwrite" in str(refused.value)
    assert free == FREE_TO_CHANGE
    assert impossible <= {"model.in_channels"}
    assert len(EVERY_OPTION) > 40


def test_the_list_in_the_documentation_is_the_list():
    method = Path(__file__).parents[3] / "docs/method.md"
    text = method.read_text(encoding="utf-8").split("## Interrupting and resuming", 1)[1].split("\n## ", 1)[0]
    row = next(line for line in text.splitlines() if line.startswith("| may change |"))
    assert {word.strip(" `").removeprefix("train.") for word in row.split("|")[2].split(",")} == FREE_TO_CHANGE


@pytest.mark.parametrize(
    "change",
    [{"activation_checkpointing": True}, {"checkpoint_every": 1}, {"log_every": 2}],
    ids=lambda change: next(iter(change)),
)
def test_a_change_leaves_the_result_as_it_was(
    cache_path: Path, tiny: IsccConfig, whole: Path, interrupted: Path, change: dict
):
    other = dataclasses.replace(tiny, train=dataclasses.replace(tiny.train, **change))
    assert pretrain([cache_path], interrupted, other, resume=True)
    for name in ("encoder.safetensors", "heads.safetensors", "config.json", "config.toml"):
        assert (interrupted / name).read_bytes() == (whole / name).read_bytes()
    one, same = (torch.load(run / "resume.pt", weights_only=True) for run in (interrupted, whole))
    torch.testing.assert_close(one, same, rtol=0, atol=0)
    lines, all_lines = ((run / "metrics.jsonl").read_text().splitlines() for run in (interrupted, whole))
    steps = [json.loads(line)["step"] for line in lines]
    assert steps == ([0, 1, 2, 4, 5] if "log_every" in change else [0, 1, 2, 3, 4, 5])
    assert lines == [all_lines[step] for step in steps]


def test_a_run_without_a_gradient_scaler_goes_on_with_one_and_back(cache: Cache, tiny: IsccConfig, tmp_path: Path):
    """From float32 on a CPU to fp16 on a GPU that has no bfloat16: train.device is free to change."""
    learner, half = PretrainLearner([cache], tiny), Compute(torch.device("cpu"), half=torch.float16)
    save(tmp_path, new_state(learner, ON_CPU), learner)
    state = new_state(learner, half)
    restore(tmp_path, state)
    assert state.scaler.is_enabled()
    state.scaler.scale(torch.ones(1))
    state.scaler.update(new_scale=8.0)
    save(tmp_path, state, learner)
    restore(tmp_path, new_state(learner, ON_CPU))
    again = new_state(learner, half)
    restore(tmp_path, again)
    assert again.scaler.get_scale() == 8.0
