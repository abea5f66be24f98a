"""The names and signatures of ``import iscc_lidar`` are frozen, their examples run, and so does docs/api.md."""

from __future__ import annotations

import doctest
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import iscc_lidar
from iscc_lidar.api import functions
from iscc_lidar.api.train_cli import app
from iscc_lidar.preprocess.datasets import registry
from iscc_lidar.shared.base.errors import UserError

import folder_writer

FROZEN = Path(__file__).parent / "signatures.txt"
REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "api.md"
SPECIAL = ("__init__", "__getitem__", "__iter__", "__len__", "__contains__")


def signatures() -> str:
    lines = []
    for name in sorted(iscc_lidar.__all__):
        found = getattr(iscc_lidar, name)
        if not inspect.isclass(found):
            lines.append(f"{name}{inspect.signature(found)}")
            continue
        lines.append(f"class {name}")
        fields = inspect.get_annotations(found)
        lines += [f"    {field}: {annotation}" for field, annotation in fields.items() if not field.startswith("_")]
        for member, value in sorted(vars(found).items()):
            if member.startswith("_") and member not in SPECIAL:
                continue
            if inspect.isfunction(value):
                lines.append(f"    {member}{inspect.signature(value)}")
            elif member not in fields:
                lines.append(f"    {member}")
    return "\n".join(lines) + "\n"


def test_names_and_signatures_are_frozen() -> None:
    assert signatures() == FROZEN.read_text(encoding="utf-8")


def test_the_stub_has_every_public_name() -> None:
    stub = Path(str(iscc_lidar.__file__)).with_suffix(".pyi").read_text(encoding="utf-8")
    listed = {name: module for module, name in re.findall(r"from iscc_lidar\.(\S+) import (\w+) as \2", stub)}
    assert listed == {**iscc_lidar._MODULES, "preprocess": "api.functions"}  # type: ignore[attr-defined]
    assert {*dir(iscc_lidar)} == {*iscc_lidar.__all__, "__version__"}


@pytest.mark.parametrize("first", ["import iscc_lidar.preprocess.config", "from iscc_lidar import preprocess", ""])
def test_the_part_preprocess_is_the_function_too(first: str) -> None:
    code = f"{first}\nimport iscc_lidar\nprint(callable(iscc_lidar.preprocess))\nimport iscc_lidar.preprocess.config\n"
    code += "assert iscc_lidar.preprocess.config.PreprocessConfig().seed == 0\ntry:\n iscc_lidar.preprocess('kity')\n"
    code += "except iscc_lidar.UserError as error:\n print(error)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("True\nunknown dataset 'kity'; did you mean kitti?")


def test_a_missing_package_names_the_extra() -> None:
    code = "import sys\nsys.modules['PACKAGE'] = None\nimport iscc_lidar\n"
    code += "try:\n CALL\nexcept iscc_lidar.UserError as error:\n print(error)"
    for package, call, extra in (
        ("torch", "iscc_lidar.load_encoder('small')", "train"),
        ("safetensors", "iscc_lidar.load_model('runs/tuned')", "train"),
        ("threadpoolctl", "iscc_lidar.group([], [])", "preprocess"),
        ("distributed", "iscc_lidar.preprocess('synthetic')", "preprocess"),
    ):
        script = code.replace("PACKAGE", package).replace("CALL", call)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        needed = f"needs the package {package}, which is not installed; in the folder of this program run: pip install"
        assert f'{needed} ".[{extra}]"' in done.stdout, package


def test_examples_of_the_docstrings_run(user_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(user_folder)
    for name in ("load_encoder", "load_model", "group", "open_cache", "preprocess", "pretrain", "spread_labels"):
        found = doctest.DocTestFinder(recurse=False).find(
            getattr(functions, name), name, globs={"iscc_lidar": iscc_lidar}
        )
        assert found[0].examples, name
        assert doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(found[0]).failed == 0


def test_every_block_of_the_page_runs(user_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(user_folder)
    blocks = re.findall(r"```(\w*)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 7
    names: dict[str, object] = {}
    for language, text in blocks:
        if language == "python":
            exec(compile(text, str(PAGE), "exec"), names)
            continue
        assert language == "sh", language
        for line in text.replace("\\\n", " ").splitlines():
            program, *words = shlex.split(line, comments=True)
            assert program == "iscc-train"
            done = CliRunner().invoke(app, words)
            assert done.exit_code == 0, done.output


def test_a_dry_run_prints_what_it_finds_and_writes_nothing(
    user_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {
        **{"train.loader_workers": 0, "train.device": "cpu", "train.steps": 2, "model.voxel_size": 0.5},
        **{"model.stem_width": 8, "model.encoder_widths": [8, 8], "model.decoder_widths": [8, 8]},
    }
    out = iscc_lidar.pretrain(user_folder / "cache/kitti", tmp_path / "run", options=options, dry_run=True)
    assert out == tmp_path / "run"
    assert not out.exists()
    printed = capsys.readouterr().out
    for name in ("data ", "network ", "memory ", "the run "):
        assert name in printed


def test_poses_are_passed_to_preprocessing(user_folder: Path, tmp_path: Path) -> None:
    folder_writer.write_folder(tmp_path / "drive", sweeps=3, poses=False)
    poses = tmp_path / "poses.txt"
    poses.write_text(folder_writer.kitti_rows([folder_writer.pose(index) for index in range(3)]))
    options = {"window.sweeps": 3, "window.stride": 1}
    with pytest.raises(UserError, match="no such file or folder"):
        iscc_lidar.preprocess("folder", tmp_path / "drive", tmp_path / "cache", poses=tmp_path / "gone")
    cache = iscc_lidar.preprocess(
        "folder", tmp_path / "drive", tmp_path / "cache", poses=poses, options=options, accept_content=True
    )
    assert cache["drive"][2].pose[0, 3] == 2 * folder_writer.STEP_M


def test_the_commands_take_the_same_options_and_raise_the_same_errors(tmp_path: Path) -> None:
    for words, call in (
        ("on_error: is 'go'", lambda: iscc_lidar.preprocess("synthetic", tmp_path, tmp_path, on_error="go")),
        ("workers: is -1", lambda: iscc_lidar.preprocess("synthetic", tmp_path, tmp_path, workers=-1)),
        ("unknown option window.x", lambda: iscc_lidar.preprocess("synthetic", options={"window.x": 1})),
        ("To write synthetic sequences there", lambda: iscc_lidar.preprocess("synthetic", tmp_path, tmp_path)),
        ("no finished cache here", lambda: iscc_lidar.pretrain(tmp_path, tmp_path / "run")),
        ("at least one cache", lambda: iscc_lidar.pretrain([], tmp_path / "run")),
        ("neither a file nor a recipe", lambda: iscc_lidar.pretrain(tmp_path, tmp_path / "run", recipes=["no"])),
        ("unknown option train.x", lambda: iscc_lidar.pretrain(tmp_path, tmp_path, options={"train.x": 1})),
    ):
        with pytest.raises(UserError, match=words):
            call()


def test_a_folder_of_sweeps_is_preprocessed_with_poses_from_a_file(tiny_streets: Path, tmp_path: Path) -> None:
    street = registry.open_dataset("synthetic", tiny_streets)
    sweeps = [street.read("00", index) for index in range(3)]
    (recordings := tmp_path / "recordings").mkdir()
    for index, sweep in enumerate(sweeps):
        np.save(recordings / f"{index:02d}.npy", np.column_stack([sweep.xyz, sweep.intensity]))
    rows = [" ".join(map(repr, sweep.world_SE3_sensor[:3].ravel().tolist())) for sweep in sweeps]
    (tmp_path / "own.txt").write_text("\n".join(rows))
    small = {"window.sweeps": 3, "window.stride": 3}
    call: dict[str, Any] = {"root": recordings, "cache": tmp_path / "cache", "options": small}
    with pytest.raises(UserError, match=r"other\.txt"):
        iscc_lidar.preprocess("folder", **call, poses=tmp_path / "other.txt")
    cache = iscc_lidar.preprocess("folder", **call, poses=tmp_path / "own.txt")
    (sequence,) = cache
    np.testing.assert_allclose(cache[sequence][2].pose, sweeps[2].world_SE3_sensor, atol=1e-6)
