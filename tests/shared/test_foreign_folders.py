"""No command writes into a folder that holds something else, and none removes what the program did not write."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

from iscc_lidar.preprocess.cli import app as preprocess_app
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.own import own_folder
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.verify import verify_cache
from iscc_lidar.shared.cache_cli import app as cache_app
from iscc_lidar.trainer.cli import app as train_app

SET = ("--set", "window.sweeps=3", "--set", "window.stride=1", "--set", "window.block_sweeps=2", "--workers", "0")


def run(app: Typer, *arguments: object) -> tuple[int, str]:
    """Exit status and all output of a command."""
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    return done.exit_code, done.output


def digests(folder: Path) -> dict[str, str]:
    """The content of every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def is_refused(folder: Path, app: Typer, *arguments: object, words: str) -> bool:
    """Whether a command ends with one line of these words, and leaves a folder as it was."""
    before, entries = digests(folder), sorted(folder.rglob("*"))
    status, output = run(app, *arguments)
    assert (status, words in output, len(output.strip().splitlines())) == (1, True, 1), output
    return digests(folder) == before and sorted(folder.rglob("*")) == entries


def preprocess(root: Path, cache: Path, command: str = "run") -> tuple[object, ...]:
    return (command, "synthetic", "--root", root, "--cache", cache, *SET[: 8 if command == "run" else 6])


@pytest.fixture
def copy(tiny_cache: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_cache, tmp_path / "cache")
    return tmp_path / "cache"


@pytest.mark.parametrize("command", ["run", "init", "finalise"])
def test_a_cache_does_not_go_into_the_dataset(own_streets: Path, command: str) -> None:
    for cache in (own_streets, own_streets / "sequences", own_streets / "sequences/00"):
        words = "is not a cache, it contains"
        assert is_refused(own_streets, preprocess_app, *preprocess(own_streets, cache, command), words=words)


@pytest.mark.parametrize("name", ["notes.txt", ".git/config", ".owner2/a", "sequences/00/velodyne/0.bin", ".steps/x"])
def test_a_cache_does_not_go_into_any_other_folder(own_streets: Path, tmp_path: Path, name: str) -> None:
    file = tmp_path / "other" / name
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    words = "is not a cache, it contains"
    assert is_refused(file.parent, preprocess_app, *preprocess(own_streets, tmp_path / "other"), words=words)


def test_another_programs_manifest_marks_no_cache(own_streets: Path, tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web/manifest.json").write_text('{"name": "a page"}')
    assert is_refused(
        tmp_path / "web", preprocess_app, *preprocess(own_streets, tmp_path / "web"), words="its format is"
    )


def test_a_foreign_claim_or_folder_for_temporary_files_is_not_touched(own_streets: Path, copy: Path) -> None:
    (copy / ".aside").mkdir(exist_ok=True)
    (copy / ".aside/mine.txt").write_text("mine")
    (copy / ".owner").write_text("mine")
    assert is_refused(copy, preprocess_app, *preprocess(own_streets, copy), words=".owner: is no claim of this program")
    (copy / ".owner").unlink()
    run(preprocess_app, *preprocess(own_streets, copy))
    assert (copy / ".aside/mine.txt").read_text() == "mine"


def test_repair_leaves_foreign_files_and_lists_them(copy: Path) -> None:
    block = Cache(copy).sequence("00").blocks[0].path
    mine = ["notes.txt", "sequences/00/velodyne/000000.bin", f"{block}/mine.txt", f"{block}/arrays.zarr/mine"]
    for name in mine:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("mine")
    (copy / block / "groups.parquet").write_bytes(b"")
    status, output = run(cache_app, "verify", copy, "--repair")
    assert status == 1
    for name in mine:
        assert (copy / name).read_text() == "mine"
        assert f"{copy}/{name}: left, because it is foreign" in output
    assert not (copy / block / "block.json").exists()


def test_what_lies_in_the_place_of_a_block_is_not_replaced(tiny_streets: Path, copy: Path) -> None:
    block = Cache(copy).sequence("00").blocks[0].path
    (copy / block / "mine.txt").write_text("mine")
    (copy / block / "block.json").unlink()
    status, output = run(preprocess_app, *preprocess(tiny_streets, copy))
    assert (status, (copy / block / "mine.txt").read_text()) == (1, "mine")
    assert "mine.txt: is in the place of a block" in output


def test_stale_blocks_go_and_what_is_foreign_in_them_stays(tiny_streets: Path, copy: Path) -> None:
    block = Cache(copy).sequence("00").blocks[0].path
    (copy / block / "mine.txt").write_text("mine")
    (copy / ".steps/00").mkdir(parents=True, exist_ok=True)
    (copy / ".steps/00/mine.npz").write_text("mine")
    assert run(preprocess_app, *preprocess(tiny_streets, copy), "--set", "seed=1")[0] == 0
    assert list(digests(copy / block)) == ["mine.txt"]
    assert (copy / ".steps/00/mine.npz").read_text() == "mine"


def test_links_in_a_cache_are_not_followed(tiny_streets: Path, copy: Path, tmp_path: Path) -> None:
    first, second = (copy / entry.path for entry in Cache(copy).sequence("00").blocks[:2])
    first.rename(tmp_path / "elsewhere")
    first.symlink_to(tmp_path / "elsewhere")
    (second / "arrays.zarr/label").rename(tmp_path / "label")
    (second / "arrays.zarr/label").symlink_to(tmp_path / "label")
    (tmp_path / "elsewhere/groups.parquet").write_bytes(b"")
    (second / "groups.parquet").write_bytes(b"")
    before = digests(tmp_path / "elsewhere") | digests(tmp_path / "label")
    status, output = run(cache_app, "verify", copy, "--repair")
    assert status == 1
    assert f"{first}: left, because it is foreign or reached through a link" in output
    status, output = run(preprocess_app, *preprocess(tiny_streets, copy))
    assert digests(tmp_path / "elsewhere") | digests(tmp_path / "label") == before
    assert (first.is_symlink(), "Traceback" in output) == (True, False)


@pytest.mark.parametrize("name", [".steps", "sequences", "sequences/01", ".aside", ".owner"])
def test_a_run_through_a_link_is_refused_or_leaves_what_it_names(
    tiny_streets: Path, copy: Path, tmp_path: Path, name: str
) -> None:
    if (copy / name).exists():
        (copy / name).rename(tmp_path / "elsewhere")
    elif name == ".owner":
        (tmp_path / "elsewhere").write_text("mine")
    else:
        (tmp_path / "elsewhere").mkdir()
    (copy / name).unlink(missing_ok=True)
    (copy / name).symlink_to(tmp_path / "elsewhere")
    if (tmp_path / "elsewhere").is_dir():
        (tmp_path / "elsewhere/plan.json").write_text("mine")
    before = digests(tmp_path / "elsewhere") or (tmp_path / "elsewhere").read_text()
    status, output = run(preprocess_app, *preprocess(tiny_streets, copy), "--set", "seed=1")
    assert status == 1
    assert ("is a link" in output) or ("is no claim" in output)
    assert before == (digests(tmp_path / "elsewhere") or (tmp_path / "elsewhere").read_text())
    assert verify_cache(copy) == [] or name.startswith("sequences")


def test_the_root_of_a_cache_may_be_a_link(tiny_streets: Path, copy: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(copy)
    assert run(preprocess_app, *preprocess(tiny_streets, tmp_path / "link"))[0] == 0
    assert run(cache_app, "verify", tmp_path / "link")[0] == 0


def test_exports_do_not_replace_a_datasets_labels(tiny_cache: Path, own_streets: Path) -> None:
    words = "contains sequences, which this program did not write"
    assert is_refused(own_streets, cache_app, "export", tiny_cache, own_streets, words=words)
    assert is_refused(own_streets, cache_app, "fractions", tiny_cache, own_streets, words=words)
    with pytest.raises(UserError, match=words):
        own_folder(own_streets, "predictions")


def test_an_export_may_be_repeated_but_not_mixed(tiny_cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(cache_app, "export", tiny_cache, out)[0] == 0
    first = digests(out)
    assert run(cache_app, "export", tiny_cache, out)[0] == 0
    assert digests(out) == first
    words = "contains labels for semantickitti, not lists"
    assert is_refused(out, cache_app, "fractions", tiny_cache, out, words=words)
    (out / ".iscc-lidar.json").write_text('{"program": "another"}')
    assert is_refused(out, cache_app, "export", tiny_cache, out, words="contains files of another program")


def test_pictures_replace_only_pictures_of_this_program(tiny_cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    assert run(cache_app, "show", tiny_cache, "--out", file)[0] == 0
    assert run(cache_app, "show", tiny_cache, "--out", file)[0] == 0
    file.write_bytes(b"\x89PNG a photograph")
    words = "exists, and this program did not write it"
    assert is_refused(tmp_path, cache_app, "show", tiny_cache, "--out", file, words=words)
    (tmp_path / "a.gif").write_bytes(b"GIF89a a film")
    assert is_refused(tmp_path, cache_app, "show", tiny_cache, "--out", tmp_path / "a.gif", words=words)
    (tmp_path / "folder.png").mkdir()
    words = "is a folder, expected a file"
    assert is_refused(tmp_path, cache_app, "show", tiny_cache, "--out", tmp_path / "folder.png", words=words)


def test_synthetic_sweeps_do_not_join_a_dataset(own_streets: Path, tmp_path: Path) -> None:
    few = ("--workers", "0", "--set", "synth.sequences=1", "--set", "synth.sweeps=1", "--set", "synth.beams=4")
    real = tmp_path / "real/sequences/05/velodyne"
    real.mkdir(parents=True)
    np.ones((4, 4), "<f4").tofile(real / "000000.bin")
    assert is_refused(tmp_path, preprocess_app, "synth", tmp_path / "real", *few, words="contains sequences/05, which")
    (tmp_path / "new").mkdir()
    for _ in range(2):
        assert run(preprocess_app, "synth", tmp_path / "new", *few)[0] == 0
    (tmp_path / "new/mine").write_text("mine")
    assert is_refused(tmp_path, preprocess_app, "synth", tmp_path / "new", *few, words="contains mine, which")


def foreign_run(folder: Path) -> None:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"architectures": ["Bert"]}))
    (folder / "model.bin").write_text("mine")


def foreign_dataset(folder: Path) -> None:
    (folder / "sequences/00/velodyne").mkdir(parents=True)
    (folder / "sequences/00/velodyne/000000.bin").write_text("mine")


@pytest.mark.parametrize("make", [foreign_run, foreign_dataset])
@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_trainings_refuse_another_programs_folder(
    tiny_cache: Path, tmp_path: Path, make: Callable[[Path], None], overwrite: tuple[str, ...]
) -> None:
    make(tmp_path / "out")
    pretrain = ("pretrain", "--cache", tiny_cache, "--recipe", "quick")
    finetune = ("finetune", "semseg", "--train-cache", tiny_cache, "--recipe", "quick")
    reproduce = ("reproduce", "--cache", f"standard={tiny_cache}", "--test-cache", tiny_cache)
    for command in (pretrain, finetune):
        words = "not empty and not a run of this program"
        assert is_refused(tmp_path, train_app, *command, "--out", tmp_path / "out", *overwrite, words=words)
    lists = tmp_path / "list.txt"
    lists.write_text("00/000000\n")
    limits = ("--train-list", lists, "--test-list", lists, "--out", tmp_path / "out")
    assert is_refused(tmp_path, train_app, *reproduce, *limits, words="which this program did not write")


def test_predictions_are_refused_before_the_training(tiny_cache: Path, own_streets: Path, tmp_path: Path) -> None:
    command = ("finetune", "semseg", "--train-cache", tiny_cache, "--out", tmp_path / "out", "--recipe", "quick")
    words = "contains sequences, which this program did not write"
    assert is_refused(tmp_path, train_app, *command, "--predictions", own_streets, words=words)
    assert not os.path.lexists(tmp_path / "out")
