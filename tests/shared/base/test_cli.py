"""What the operating system refuses is one line and exit status 1, in every program."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from iscc_lidar.shared.base.cli import report_user_errors
from iscc_lidar.shared.base.errors import UserError

PROGRAMS = {name: f"iscc_lidar.{name}" for name in ("preprocess.cli", "shared.cache_cli", "trainer.cli")}


def command(
    program: str, *arguments: object, before: Callable[[], None] | None = None, out: int | None = None
) -> subprocess.CompletedProcess[str]:
    call = f"from {PROGRAMS[program]} import app; app()"
    return subprocess.run(
        [sys.executable, "-c", call, *map(str, arguments)],
        stdout=subprocess.PIPE if out is None else out,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        preexec_fn=before,
        timeout=120,
    )


def is_one_line(done: subprocess.CompletedProcess[str]) -> bool:
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert (done.returncode, len(lines), "Traceback" in done.stderr) == (1, 1, False), done.stderr
    return True


def test_paths_that_the_system_refuses_are_one_line(tmp_path: Path, tiny_cache: Path) -> None:
    (tmp_path / "file").write_text("a file")
    below, long, file = tmp_path / "file" / "x", tmp_path / ("x" * 300), tmp_path / "file"
    assert is_one_line(command("shared.cache_cli", "export", tiny_cache, file))
    assert is_one_line(command("shared.cache_cli", "show", tiny_cache, "--out", long / "a.png"))
    assert is_one_line(command("preprocess.cli", "synth", below))
    assert is_one_line(command("trainer.cli", "pretrain", "--cache", tiny_cache, "--out", below))
    assert is_one_line(command("trainer.cli", "report", long))


def test_a_closed_or_full_output_is_one_line(tiny_cache: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = command("shared.cache_cli", "info", tiny_cache, out=write)
    finally:
        os.close(write)
    assert is_one_line(done)
    assert "the output was closed" in done.stderr
    with open("/dev/full", "wb") as full:
        assert is_one_line(command("shared.cache_cli", "info", tiny_cache, out=full.fileno()))


def test_a_file_that_may_not_grow_is_one_line(tiny_cache: Path, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    done = command("shared.cache_cli", "show", tiny_cache, "--out", tmp_path / "a.png", before=limit)
    assert is_one_line(done)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(13, "Permission denied", "/a/file"),
        OSError(36, "File name too long", "/a/\x1b[2Jfile"),
        NotADirectoryError(20, "Not a directory", "/a/file"),
        OSError(28, "No space left on device"),
        TimeoutError("timed out"),
        UserError("a \x1b[31mred\x07 name"),
        MemoryError(),
    ],
)
def test_messages_have_no_control_characters(error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    @report_user_errors
    def fail() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        fail()
    assert ended.value.code == 1
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert printed.rstrip("\n").isprintable()
