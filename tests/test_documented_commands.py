"""Every command and Python block of README and documentation works: what it states is understood, and it runs.

``make test`` checks that programs, arguments, options, recipes and keys exist. The slow test runs the commands of each
page, in order, on tiny synthetic data, with the substitutions below.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import iscc_lidar
from iscc_lidar.api.cache_cli import app as cache
from iscc_lidar.api.train_cli import app as train
from iscc_lidar.preprocess.cli import app as preprocess
from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.generate import generate

from caches import TINY
from pages import REPOSITORY, Block, Command, blocks, commands

PROGRAMS = {"iscc-preprocess": preprocess, "iscc-cache": cache, "iscc-train": train}

# What is not run, and why. The first pattern that a command begins with decides.
NOT_RUN = {
    r"make ": "sets up an environment, takes minutes to hours: .ci/run does it; make -n checks the target",
    r"source |python3 -m venv|(python -m )?pip |python -m build": "changes the environment: tests/test_packaging.py",
    r"sbatch ": "needs SLURM; what it wraps is run",
    r"dask |iscc-preprocess .*--scheduler": "needs a cluster: tests/preprocess/run/test_cluster.py",
    r"iscc-preprocess run kitti ": "needs boxes in KITTI's own files: tests/preprocess/datasets",
    r"iscc-cache view|rerun ": "needs a screen or a browser: tests/shared/export/test_view.py",
    r"python tests/benchmarks": "minutes; tests/benchmarks has its own tests",
    r"python tests/tools/(plant_label_errors|score_audit|score_clicks)": "needs real sweeps with objects",
    r"iscc-cache import .*(corrections.csv|from-cvat)|iscc-cache spread .*corrected": "needs a person's corrections",
    r"iscc-cache export .*--to rerun": "needs an extra: tests/shared/export/test_rerun.py",
    r"iscc-cache join": "needs the raw files of a cache: tests/preprocess/run/test_join.py",
    r"python -m iscc_lidar|sudo |git clone|sed -i|FORCE_CUDA": "needs a GPU and a compiler",
}
# What replaces a part of a command that is run, and why.
SUBSTITUTIONS = {
    r"/data/|/mnt/": ("data/", "folders of this machine, inside the test's own"),
    r"\$SLURM_ARRAY_TASK_ID/\d+": ("1/1", "one shard instead of sixteen"),
    r"--recipe (minkunet|quick|iscc)\b": (r"--recipe \1 --recipe {tiny}", "a tiny network and two steps"),
    r"--recipe (short|long|kitti)": ("--recipe quick {model}", "the tiny network, and of boxes the road ahead"),
    r"method.name=groupbyol": ("method.name=segcontrast", "the page's example is not part of the program"),
    r"^(iscc-preprocess \w+) waymo": (r"\1 semantickitti", "synthetic sweeps, which are in this layout"),
}
# What a command gets in addition, and why; not where it resumes.
ADDED = {
    "iscc-preprocess run": (["--workers", "0", *TINY], "in this process; sequences of six sweeps need short windows"),
    "iscc-preprocess init": (TINY, "as run"),
    "iscc-preprocess finalise": (TINY, "as run"),
    "iscc-preprocess synth": (["--workers", "0", "--set", "synth.columns=512"], "half the columns"),
    "iscc-train finetune": (["--set", "train.steps=2"], "two steps"),
    "iscc-train reproduce": (["--dry-run"], "hours; tests/trainer/reproduce runs small ones"),
    "iscc-train bench": (["--steps", "1"], "one step"),
}
# Python that is not run alone, by what it contains, and why.
NOT_RUN_PYTHON = {
    "dask_jobqueue": "needs SLURM",
    "(Experiment(": "one line of a table, shown alone",
    'read_labels(Path("CACHE")': "tests/data_schemas/test_format.py runs it",
    "percentiles_split.json": "tests/shared/cache/test_label_fractions.py runs it",
}
# Pages whose commands and blocks another test runs.
RUN_ELSEWHERE = {"docs/api.md": "tests/api/test_public.py, in one interpreter, since its blocks continue each other"}
MODEL = ["model.voxel_size=0.5", "model.stem_width=8", "model.encoder_widths=[8,8]", "model.decoder_widths=[8,8]"]
RECIPE = """
[model]
voxel_size = 0.5
stem_width = 8
encoder_widths = [8, 8]
decoder_widths = [8, 8]
blocks = 1

[train]
steps = 2
batch_size = 1
loader_workers = 0
"""
COMMANDS = commands()
BLOCKS = blocks()


def reason(command: Command) -> str | None:
    return next((why for pattern, why in NOT_RUN.items() if re.match(pattern, command.text)), None)


def click_command(words: list[str]) -> Any:
    group: Any = typer.main.get_command(PROGRAMS[words[0]])
    assert words[1] in group.commands, f"{words[0]} has no command {words[1]}; it has {', '.join(group.commands)}"
    return group.commands[words[1]]


def test_commands_are_found() -> None:
    assert len(COMMANDS) > 60
    assert any(c.text.startswith("iscc-cache spread ") for c in COMMANDS)  # in a list, indented
    assert {Path(c.page).name for c in COMMANDS} >= {"README.md", "tutorial.md", "labels-only.md", "scale.md"}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: f"{c.page}: {c.text}"[:120])
def test_every_command_is_understood(command: Command) -> None:
    words = Command(command.page, command.text.replace("groupbyol", "segcontrast")).words
    if words[0] == "make":
        call = [*words, "-n", "VENV=absent"]
        done = subprocess.run(call, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    elif words[0] in PROGRAMS:
        found = click_command(words)
        if any("--show-config" in parameter.opts for parameter in found.params):
            done = CliRunner().invoke(PROGRAMS[words[0]], [*words[1:], "--show-config"])
            assert done.exit_code == 0, done.output
        else:
            found.make_context(words[1], words[2:])
    else:
        assert reason(command), "run it, or give the reason why not"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda b: f"{b.page}: {b.text.splitlines()[0]}"[:100])
def test_every_python_block_compiles(block: Block) -> None:
    compile(block.text, block.page, "exec")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make streets, a cache, a pre-trained and a fine-tuned run, all tiny."""
    folder = tmp_path_factory.mktemp("prepared")
    generate(folder / "streets", SynthConfig(sequences=2, sweeps=6, beams=32, columns=256), workers=0)
    shutil.copytree(folder / "streets/sequences/01", folder / "streets/sequences/08")
    (folder / "tiny.toml").write_text(RECIPE)
    for command in (
        ["iscc-preprocess", "run", "semantickitti", "--root", "streets", "--cache", "cache", "--workers", "0", *TINY],
        ["iscc-train", "pretrain", "--cache", "cache", "--out", "run", "--recipe", "quick", "--recipe", "tiny.toml"],
    ):
        run(command, folder)
    record(folder / "recordings", iscc_lidar.open_cache(folder / "cache")["00"])
    return folder


def record(folder: Path, sequence: iscc_lidar.CachedSequence) -> None:
    """Write sweeps as own recordings, with poses: odometry fails on so few points, and has its own tests."""
    folder.mkdir()
    for index, sweep in enumerate(sequence):
        np.save(folder / f"{index:06}.npy", sweep.points[sweep.label != -3])
    np.savetxt(folder / "poses.txt", [sweep.pose[:3].ravel() for sweep in sequence])


def run(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name(command[0])) if command[0] in PROGRAMS else command[0], *command[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def substituted(command: Command, tiny: Path) -> list[str]:
    text = command.text
    for pattern, (replacement, _) in SUBSTITUTIONS.items():
        model = " ".join(f"--set {option}" for option in MODEL)
        text = re.sub(pattern, replacement.format(tiny=tiny, model=model), text)
    words = Command(command.page, text).words
    resumes = "--resume" in words
    return words if resumes else [*words, *ADDED.get(" ".join(words[:2]), ([], ""))[0]]


def provide(words: list[str], folder: Path, prepared: Path) -> None:
    """Put what a command reads, and no earlier command of its page made, at its place."""
    makes = words[:2] in (["iscc-preprocess", "run"], ["iscc-preprocess", "init"])
    if "recordings" in words:
        shutil.copytree(prepared / "recordings", folder / "recordings", dirs_exist_ok=True)
    read = [word.rpartition("=")[2] if word.startswith(("standard=", "labelled=")) else word for word in words[2:]]
    for option, word in zip(["", *words[2:]], read, strict=False):
        target = folder / word
        if target.exists() or word.startswith("-"):
            continue
        if option in ("--root",) or (words[:2] == ["iscc-preprocess", "check"] and "/" in word):
            shutil.copytree(prepared / "streets", target)
        elif word.startswith(("cache/", "data/cache")) and not makes:
            shutil.copytree(prepared / "cache", target)
        elif word.startswith("runs/") and option not in ("--out", "--predictions"):
            shutil.copytree(prepared / "run", target)
        elif option.endswith("-list"):
            target.write_text("00/000001\n")


def pages() -> list[str]:
    found = dict.fromkeys([c.page for c in COMMANDS if not reason(c)] + [b.page for b in BLOCKS])
    return [page for page in found if page not in RUN_ELSEWHERE]


@pytest.mark.slow
@pytest.mark.parametrize("page", pages())
def test_the_commands_of_every_page_run_in_order(page: str, prepared: Path, tmp_path: Path) -> None:
    for command in (c for c in COMMANDS if c.page == page and not reason(c)):
        words = substituted(command, prepared / "tiny.toml")
        provide(words, tmp_path, prepared)
        run(words, tmp_path)
    for block in (b for b in BLOCKS if b.page == page):
        if not any(part in block.text for part in NOT_RUN_PYTHON):
            (tmp_path / "block.py").write_text(block.text)
            run([sys.executable, "block.py"], tmp_path)


def test_every_exception_and_substitution_is_needed() -> None:
    texts, run_texts = [c.text for c in COMMANDS], [c.text for c in COMMANDS if not reason(c)]
    assert [p for p in SUBSTITUTIONS if not any(re.search(p, t) for t in run_texts)] == []
    assert [p for p in NOT_RUN if not any(re.match(p, t) for t in texts)] == []
    assert [p for p in ADDED if not any(t.startswith(p) for t in run_texts)] == []
    assert [p for p in NOT_RUN_PYTHON if not any(p in b.text for b in BLOCKS)] == []
    assert {*RUN_ELSEWHERE} <= {b.page for b in BLOCKS}
