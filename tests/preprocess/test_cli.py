"""The commands as a user types them."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from iscc_lidar.preprocess.cli import app
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets import registry
from iscc_lidar.shared.base.config import resolve


def command(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_datasets_lists_every_adapter_with_its_layout() -> None:
    done = command("datasets")
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.output.splitlines() if not line.startswith(" ")] == list(registry.names())
    assert "sequences/NN/velodyne/*.bin" in done.output


def test_shown_options_are_a_recipe_that_gives_them_back(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(command("run", "synthetic", "--show-config", "--set", "window.stride=3").stdout)
    assert resolve(PreprocessConfig, recipe) == resolve(PreprocessConfig, None, ["window.stride=3"])
    assert "# sweeps stacked in a window" in recipe.read_text()


def test_synth_writes_streets_and_says_where(tmp_path: Path) -> None:
    sizes = [
        "--set",
        "synth.sequences=1",
        "--set",
        "synth.sweeps=2",
        "--set",
        "synth.beams=8",
        "--set",
        "synth.columns=64",
    ]
    done = command("synth", tmp_path / "streets", "--workers", "0", *sizes)
    assert done.exit_code == 0, done.output
    assert f"{tmp_path / 'streets'} (1 sequence of 2 sweeps)" in done.output
    assert len(list((tmp_path / "streets/sequences/00/velodyne").glob("*.bin"))) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "semantickity"), "unknown dataset 'semantickity'; did you mean semantickitti?"),
        (("run", "semantickitti", "--root", "nowhere"), "nowhere: looked for sequences/NN/velodyne"),
        (("run", "synthetic", "--set", "window.sweps=3"), "unknown option window.sweps; the nearest is window.sweeps"),
        (("run", "synthetic", "--set", "window.sweeps=3"), "window.stride must be from 1 to window.sweeps"),
        (("run", "synthetic", "--recipe", "none.toml"), "none.toml: no such recipe"),
    ],
)
def test_mistakes_are_one_line_without_a_stack_trace(arguments: tuple[str, ...], says: str) -> None:
    done = command(*arguments)
    assert done.exit_code == 1
    assert says in done.stderr
    assert "Traceback" not in done.output


def test_a_scheduler_that_does_not_answer_is_named(tiny_streets: Path, tmp_path: Path) -> None:
    call = ["run", "synthetic", "--root", tiny_streets, "--cache", tmp_path / "c", "--scheduler", "tcp://127.0.0.1:9"]
    done = command(*call)
    assert done.exit_code == 1
    assert "--scheduler tcp://127.0.0.1:9: no Dask scheduler answers there" in done.stderr


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda f: (f / "poses.txt").write_bytes(b"\xff\xfe"), "poses.txt: not a text file: byte 0 is not UTF-8"),
        (lambda f: (f / "calib.txt").write_text("Tr: 1e160 0 0 0 0 1 0 0 0 0 1 0"), "calib.txt: Tr: is not a finite"),
        (lambda f: (f / "times.txt").write_text("0\n0.2\n0.1\n0.3\n0.4\n0.5\n"), "times.txt: line 3"),
        (lambda f: (f / "velodyne/1.bin").write_bytes(b""), "two files of one number"),
        (lambda f: (f / "velodyne/000006.bin").mkdir(), "000006.bin: is not a file"),
    ],
)
def test_check_and_run_name_the_same_problem_without_a_stack_trace(own_streets: Path, damage, says: str) -> None:  # type: ignore[no-untyped-def]
    damage(own_streets / "sequences/00")
    checked = command("check", "semantickitti", own_streets)
    ran = command("run", "semantickitti", "--root", own_streets, "--cache", own_streets / "cache", "--workers", 0)
    for done in (checked, ran):
        assert done.exit_code == 1
        assert says in done.output
        assert "Traceback" not in done.output
    assert not list((own_streets / "cache").glob("s*"))


def test_check_tells_how_much_is_sound_or_lists_what_is_not(tiny_streets: Path, tmp_path: Path) -> None:
    done = command("check", "synthetic", tiny_streets)
    assert done.exit_code == 0
    assert "no problem; sequences: 2, sweeps: 12" in done.output
    assert "--every-sweep reads all" in done.output
    assert "--every-sweep" not in command("check", "synthetic", tiny_streets, "--every-sweep").output
    folder = tmp_path / "sequences" / "00" / "velodyne"
    folder.mkdir(parents=True)
    (folder / "000000.bin").write_bytes(bytes(16))
    done = command("check", "semantickitti", tmp_path)
    assert done.exit_code == 1
    assert "poses.txt: missing" in done.output
