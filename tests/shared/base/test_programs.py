"""What all programs have in common: help, versions, completion, and one form of error for a wrong command line."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

PROGRAMS = {
    "iscc-preprocess": "iscc_lidar.preprocess.cli",
    "iscc-cache": "iscc_lidar.api.cache_cli",
    "iscc-train": "iscc_lidar.trainer.cli",
}


def command(program: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    call = f"import sys; sys.argv[0] = {program!r}; from {PROGRAMS[program]} import app; app()"
    return subprocess.run(
        [sys.executable, "-c", call, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "160", "NO_COLOR": "1", **environment},
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_and_versions(program: str) -> None:
    without, short = command(program), command(program, "-h")
    assert without.returncode == short.returncode == 0
    assert without.stdout == short.stdout
    assert "Exit status:" in short.stdout
    versions = command(program, "--version")
    assert versions.returncode == 0
    first, python, packages, kernels = versions.stdout.splitlines()
    assert re.fullmatch(r"iscc-lidar \d+\.\d+\.\d+", first)
    assert python.startswith(f"python {sys.version_info.major}.{sys.version_info.minor}")
    assert "numpy 2." in packages
    assert kernels.startswith("C kernels: ")


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("iscc-train", ("pretrain",)),
        ("iscc-train", ("finetune",)),
        ("iscc-train", ("reproduce",)),
        ("iscc-cache", ("show",)),
        ("iscc-preprocess", ("run",)),
    ],
)
def test_short_help_of_commands_marks_what_is_required(program: str, words: tuple[str, ...]) -> None:
    done = command(program, *words, "-h")
    assert done.returncode == 0
    assert f"{program} {words[0]}" in done.stdout
    assert "[required]" in done.stdout


@pytest.mark.parametrize(
    ("program", "arguments", "message"),
    [
        ("iscc-train", ["pretrain"], "missing option '--cache'; see: iscc-train pretrain --help"),
        ("iscc-train", ["pretrain", "--cahce", "c"], "no such option: --cahce"),
        ("iscc-train", ["reproduce", "--out", "o"], "missing option '--cache'"),
        ("iscc-train", ["finetune", "boxes"], "'boxes' is not one of 'semseg', 'detection'"),
        ("iscc-train", ["pre\x1b[31mtrain"], "no such command"),
        ("iscc-cache", ["show"], "missing argument 'CACHE'; see: iscc-cache show --help"),
        ("iscc-cache", ["show", "c", "00", "first"], "see: iscc-cache show --help"),
        ("iscc-preprocess", ["run", "synthetic", "--workers", "-1"], "--workers"),
    ],
)
def test_a_wrong_command_line_is_one_line_with_status_2(program: str, arguments: list[str], message: str) -> None:
    done = command(program, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch("error: .*\n", done.stderr), done.stderr
    assert done.stderr.rstrip("\n").isprintable()
    assert message in done.stderr


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("iscc-train", ["pretrain"]),
        ("iscc-train", ["pretrain", "--resume"]),
        ("iscc-train", ["finetune", "semseg", "--resume"]),
        ("iscc-train", ["reproduce"]),
        ("iscc-train", ["evaluate"]),
        ("iscc-preprocess", ["run"]),
        ("iscc-preprocess", ["synth"]),
    ],
)
def test_options_are_shown_without_what_a_run_requires(program: str, words: list[str]) -> None:
    app = importlib.import_module(PROGRAMS[program]).app
    done = CliRunner().invoke(app, [*words, "--show-config"])
    assert done.exit_code == 0, done.output
    assert " = " in done.stdout


def test_a_shell_completes_commands_and_options() -> None:
    def completed(words: str) -> list[str]:
        at = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        return command("iscc-train", _ISCC_TRAIN_COMPLETE="complete_bash", **at).stdout.split()

    assert completed("iscc-train pre") == ["pretrain"]
    assert completed("iscc-train pretrain --ov") == ["--overwrite"]


def test_show_prints_the_path_of_its_picture_and_needs_no_screen(tiny_cache: Path, tmp_path: Path) -> None:
    done = command("iscc-cache", "show", tiny_cache, "--out", tmp_path / "a.png", DISPLAY="", MPLBACKEND="TkAgg")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"picture: {tmp_path / 'a.png'}\n"
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
