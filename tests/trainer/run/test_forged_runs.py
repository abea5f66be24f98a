"""Run folders that another program, or an attacker, has written: commands end with a line, and no stack trace."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from typer.testing import CliRunner

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.cli import app
from iscc_lidar.trainer.data.pairs import SampleKey
from iscc_lidar.trainer.hardware.device import ON_CPU
from iscc_lidar.trainer.pretrain.learner import PretrainLearner, pretrain
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.run.state import new_state, restore, save

from steps import one_step

VALUES = [
    None,
    True,
    -1,
    0,
    2.5,
    10**30,
    1e300,
    float("nan"),
    float("inf"),
    "text",
    "\ud800\x1b[2J",
    "<script>",
    [],
    {},
]
NESTED = "[" * 100_000
SCORES: dict[str, Any] = {"miou": 0.1, "miou_objects": 0.2, "iou": {"car": 0.25, "pole": None}}
EVALUATION: dict[str, Any] = {
    "options": {"seed": 0},
    "linear_probe": {"untrained": SCORES, "pre-trained": SCORES},
    "neighbour_probe": {"untrained": SCORES, "pre-trained": SCORES},
    "grouping": {"prototypes": {"many_to_one": {"val": {"all": {"miou_objects": 0.3}}}}},
    "occupancy": {"decoder": {"accuracy": 0.7, "balanced": 0.7}},
}


@pytest.fixture(scope="module")
def sound(cache_path: Path, tiny: IsccConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "sound"
    pretrain([cache_path], out, tiny)
    (out / "evaluation.json").write_text(json.dumps(EVALUATION))
    return out


@pytest.fixture
def run(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "run"))


def commands(run: Path, cache: Path) -> Iterator[tuple[str, list[str]]]:
    tune = ["finetune", "semseg", "--train-cache", str(cache), "--out", str(run.parent / "tuned"), "--encoder"]
    yield "report", ["report", str(run), "--out", str(run.parent / "r.html"), "--set", "sweeps=1", "--set", "drawn=0"]
    yield "export", ["export", str(run), "--to", "openpcdet", "--out", str(run.parent / "export"), "--overwrite"]
    yield "encoder", [*tune, str(run), "--set", "train.steps=1", "--set", "train.device=cpu", "--dry-run"]
    yield "resume", ["pretrain", "--cache", str(cache), "--out", str(run), "--resume"]


def outcome(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Status and what is printed; a stack trace fails the test."""
    done = CliRunner().invoke(app, arguments)
    said = done.output + "".join(capfd.readouterr())
    assert done.exception is None or isinstance(done.exception, SystemExit), (arguments, repr(done.exception))
    assert "Traceback" not in said
    assert "\x1b" not in said
    return done.exit_code, said


def try_all(run: Path, cache: Path, capfd: pytest.CaptureFixture[str], only: str = "") -> dict[str, tuple[int, str]]:
    return {name: outcome(words, capfd) for name, words in commands(run, cache) if name in (only or name)}


def leaves(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(content, dict):
        for name, value in content.items():
            yield from leaves(value, (*path, name))


def put(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(content))
    inner = copy
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return copy


def test_a_sound_run_passes(run: Path, cache_path: Path, capfd: pytest.CaptureFixture[str]):
    assert {name: status for name, (status, _) in try_all(run, cache_path, capfd).items()} == dict.fromkeys(
        ("report", "export", "encoder", "resume"), 0
    )


@pytest.mark.slow
@pytest.mark.parametrize("file", ["config.json", "evaluation.json"])
def test_every_key_of_a_json_file_with_any_value(
    run: Path, cache_path: Path, capfd: pytest.CaptureFixture[str], file: str
):
    content = json.loads((run / file).read_text())
    part = {"provenance": content["provenance"]} if file == "config.json" else content
    tried = 0
    for number, path in enumerate(leaves(part)):
        for value in VALUES[number % 3 :: 3]:  # each key a third of the values
            (run / file).write_text(json.dumps(put(content, path, value)))
            try_all(run, cache_path, capfd, only=("report", "export")[tried % 2])
            tried += 1
    assert tried > 60


FILES = ["config.json", "evaluation.json", "metrics.jsonl", "config.toml"]
CONTENTS = [
    "",
    "{",
    "[]",
    "null",
    NESTED,
    '{"provenance": ' + "1" * 5000 + "}",
    '{"step": 0, "step": 1}\n{"step": 0}\n',
    "\xff",
]


def some(first: list[str], second: list[str]) -> list[Any]:
    """All pairs; those are slow that are not needed to have each of the longer list once."""
    every = [(k, one, m, other) for k, one in enumerate(first) for m, other in enumerate(second)]
    return [pytest.param(a, b, marks=[] if k % len(second) == m else [pytest.mark.slow]) for k, a, m, b in every]


@pytest.mark.parametrize(("content", "file"), some(CONTENTS, FILES))
def test_files_of_another_content(
    run: Path, cache_path: Path, capfd: pytest.CaptureFixture[str], file: str, content: str
):
    (run / file).write_text(content, encoding="latin-1")
    try_all(run, cache_path, capfd)


@pytest.mark.parametrize(
    "line",
    [
        *('{"step": -1}', '{"step": 1e400}', '{"step": true}', '{"step": "6"}', '{"step": 5}', '{"loss": 1}', "[1]"),
        *('{"step": 9' + "0" * 30 + "}", NESTED, '{"step": 6, "loss": ' + "9" * 400 + "}"),
        json.dumps({"step": 6, **{f"loss_{k}": 1.0 for k in range(1000)}}),
    ],
)
def test_lines_of_the_log(run: Path, cache_path: Path, capfd: pytest.CaptureFixture[str], line: str):
    with (run / "metrics.jsonl").open("a") as file:
        file.write(line + '\n{"step": 7}\n')
    try_all(run, cache_path, capfd, only="report")


TOML_VALUES = [
    "nan",
    "inf",
    "-1",
    "0",
    "999999999999",
    "1e300",
    '"text"',
    "[]",
    "true",
    "[[1]]",
    "1979-05-27",
    "0x" + "f" * 400,
]


def test_every_option_with_any_value(run: Path, cache_path: Path, capfd: pytest.CaptureFixture[str]):
    lines = (run / "config.toml").read_text().splitlines()
    tried = refused = 0
    for number, line in enumerate(lines):
        if " = " not in line:
            continue
        for place, value in enumerate(TOML_VALUES):
            if (number + place) % 6:  # each option a sixth of the values
                continue
            forged = [*lines[:number], f"{line.split(' = ')[0]} = {value}", *lines[number + 1 :]]
            (run / "config.toml").write_text("\n".join(forged))
            found = try_all(run, cache_path, capfd, only="export")
            tried, refused = tried + 1, refused + (found["export"][0] != 0)
    assert tried > 100
    assert refused > tried / 2


def tensors(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = safetensors.torch.load_file(path)
    with safetensors.safe_open(path, framework="pt") as file:
        header = file.metadata()
    change(content)
    path.write_bytes(safetensors.torch.save(content, header))


FIRST = "stem.0.conv.kernel"
WEIGHTS: dict[str, Callable[[dict[str, Any]], None]] = {
    "nan": lambda w: w[FIRST].view(-1)[:1].fill_(float("nan")),
    "half": lambda w: w.update({FIRST: w[FIRST].half()}),
    "double": lambda w: w.update({FIRST: w[FIRST].double()}),
    "int": lambda w: w.update({FIRST: w[FIRST].int()}),
    "shape": lambda w: w.update({FIRST: w[FIRST][:1].clone()}),
    "missing": lambda w: w.pop(FIRST),
    "more": lambda w: w.update({"more": torch.zeros(1)}),
}


@pytest.mark.parametrize("harm", WEIGHTS)
def test_weights_are_refused_by_name(run: Path, cache_path: Path, capfd: pytest.CaptureFixture[str], harm: str):
    tensors(run / "encoder.safetensors", WEIGHTS[harm])
    found = try_all(run, cache_path, capfd)
    for command in ("report", "export", "encoder"):
        status, said = found[command]
        assert status == 1, command
        assert re.search(rf"{'more' if harm == 'more' else re.escape(FIRST)} (is|does)", said.replace("\n", " ")), said
    evaluate = ["evaluate", "--run", str(run), "--train-cache", str(cache_path), "--val-cache", str(cache_path)]
    assert outcome(evaluate, capfd)[0] == 1


@pytest.mark.parametrize(
    "header",
    [
        *(b"", b"\xff" * 8, (10**9).to_bytes(8, "little") + b"{}", (2).to_bytes(8, "little") + b"{}"),
        b'{"a":{"dtype":"F32","shape":[4000000000],"data_offsets":[0,16000000000]}}',
        b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}',
        b'{"__metadata__":{"iscc_lidar":"' + b"[" * 50_000 + b'"}}',
        b'{"__metadata__":{"iscc_lidar":"3"}}',
    ],
)
def test_a_forged_header_of_a_weight_file(
    run: Path, cache_path: Path, capfd: pytest.CaptureFixture[str], header: bytes
):
    whole = header if not header.startswith(b"{") else len(header).to_bytes(8, "little") + header
    (run / "encoder.safetensors").write_bytes(whole)
    found = try_all(run, cache_path, capfd)
    assert [found[name][0] for name in ("report", "export", "encoder")] == [1, 1, 1]


@pytest.mark.parametrize("value", [None, "0.5", True, float("nan"), 10**30, 0, [], 0.25])
def test_an_encoder_whose_header_describes_another_network(
    run: Path, cache_path: Path, capfd: pytest.CaptureFixture[str], value: Any
):
    path = run / "encoder.safetensors"
    with safetensors.safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["iscc_lidar"])
    for name in ("voxel_size", "encoder_widths", "blocks", "in_channels"):
        forged = json.dumps(header | {"model": header["model"] | {name: value}})
        path.write_bytes(safetensors.torch.save(safetensors.torch.load_file(path), {"iscc_lidar": forged}))
        status, said = try_all(run, cache_path, capfd, only="encoder")["encoder"]
        if name == "voxel_size" and value == 0.25:
            assert "model.voxel_size=0.25, not 0.2" in said
        else:
            assert status == 1
        assert name != "voxel_size" or try_all(run, cache_path, capfd, only="export")["export"][0] == 1


@pytest.mark.parametrize(("name", "kind"), some([*FILES, "resume.pt"], ["fifo", "device", "folder", "dangling"]))
def test_pipes_devices_and_folders(
    run: Path, cache_path: Path, capfd: pytest.CaptureFixture[str], name: str, kind: str
):
    (run / name).unlink()
    if kind == "fifo":
        os.mkfifo(run / name)
    elif kind == "folder":
        (run / name).mkdir()
    else:
        (run / name).symlink_to("/dev/zero" if kind == "device" else "/gone/away")
    found = try_all(run, cache_path, capfd)
    if kind in ("fifo", "device"):
        assert found["report"][0] == 1
    if kind in ("fifo", "device") and name in ("config.json", "config.toml", "resume.pt"):
        assert found["resume"][0] == 1


def test_nothing_is_written_through_links(run: Path, cache_path: Path, capfd: pytest.CaptureFixture[str]):
    outside = run.parent / "outside"
    outside.mkdir()
    for name in ("metrics.jsonl", "report.html", "labelled.txt", "encoder.safetensors", "heads.safetensors"):
        (outside / name).write_text("mine")
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(outside / name)
    (run / "export").symlink_to(outside)
    (run / "resume.pt").unlink()
    outcome(["report", str(run)], capfd)
    assert outcome(["export", str(run), "--to", "native"], capfd)[0] == 1
    outcome(["pretrain", "--cache", str(cache_path), "--out", str(run), "--resume"], capfd)
    assert {path.read_text() for path in outside.iterdir()} == {"mine"}
    assert len(list(outside.iterdir())) == 5
    shutil.rmtree(run)


def interrupt(content: dict[str, Any]) -> dict[str, Any]:
    return content["optimizer"]["state"][0]


def hyper(content: dict[str, Any]) -> dict[str, Any]:
    return content["optimizer"]["param_groups"][0]


CHECKPOINTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "step": lambda c: c.update(step="3"),
    "negative step": lambda c: c.update(step=-3),
    "no step": lambda c: c.pop("step"),
    "no network": lambda c: c.pop("network"),
    "network": lambda c: c["network"].update({"encoder.stem.0.conv.kernel": torch.zeros(3)}),
    "dtype": lambda c: c["network"].update({"encoder.stem.0.norm.weight": torch.zeros(8).double()}),
    "nan": lambda c: c["teacher"]["encoder.stem.0.norm.weight"].fill_(float("nan")),
    "list": lambda c: c.update(network=[]),
    "moments": lambda c: interrupt(c).update(exp_avg=torch.zeros(1)),
    "wide moments": lambda c: interrupt(c).update(exp_avg_sq=torch.zeros(1).expand(10**9)),
    "moment type": lambda c: interrupt(c).update(exp_avg=interrupt(c)["exp_avg"].half()),
    "moment step": lambda c: interrupt(c).update(step=torch.tensor([1.0, 2.0])),
    "below 0": lambda c: interrupt(c)["exp_avg_sq"].fill_(-1.0),
    "no moment": lambda c: interrupt(c).pop("exp_avg"),
    "sparse": lambda c: interrupt(c).update(exp_avg=torch.zeros(27, 4, 8).to_sparse()),
    "unknown parameter": lambda c: c["optimizer"]["state"].update({999: interrupt(c)}),
    "options": lambda c: hyper(c).update(betas=(0.9, float("nan"))),
    "peak": lambda c: hyper(c).update(peak=50.0),
    "amsgrad": lambda c: hyper(c).update(amsgrad=True),
    "tensor option": lambda c: hyper(c).update(eps=torch.zeros(3)),
    "groups": lambda c: c["optimizer"].update(param_groups=[]),
    "memory": lambda c: c["memory"]["cursor"].fill_(-5),
    "random state": lambda c: c.update(torch_rng=torch.zeros(3, dtype=torch.uint8)),
    "scaler": lambda c: c.update(scaler={"scale": "1"}),
    "left out": lambda c: c.update(left_out="many"),
}


@pytest.fixture(scope="module")
def saved(cache: Cache, tiny: IsccConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint after one step."""
    out = tmp_path_factory.mktemp("runs")
    learner = PretrainLearner([cache], tiny)
    state = new_state(learner, ON_CPU)
    one_step(learner, state, [learner.collate([learner.dataset[SampleKey(0, place)] for place in (0, 7)])])
    save(out, state, learner)
    return out


@pytest.mark.parametrize("harm", CHECKPOINTS)
def test_a_checkpoint_of_other_tensors_is_refused(
    saved: Path, cache: Cache, tiny: IsccConfig, tmp_path: Path, harm: str
):
    content = torch.load(saved / "resume.pt", weights_only=True)
    CHECKPOINTS[harm](content)
    torch.save(content, tmp_path / "resume.pt")
    with pytest.raises(UserError, match=r"resume.pt: (does not fit this run|not a readable checkpoint)") as refused:
        restore(tmp_path, new_state(PretrainLearner([cache], tiny), ON_CPU))
    assert "--overwrite" in str(refused.value)


def test_a_sound_checkpoint_is_restored_to_the_bit(saved: Path, cache: Cache, tiny: IsccConfig, tmp_path: Path):
    learner = PretrainLearner([cache], tiny)
    state = new_state(learner, ON_CPU)
    restore(saved, state)
    save(tmp_path, state, learner)
    again, first = (torch.load(out / "resume.pt", weights_only=True) for out in (tmp_path, saved))
    torch.testing.assert_close(again, first, rtol=0, atol=0)
