"""Pre-processing that is killed, or whose disk fails, at any of the things it does to its cache, and runs again."""

from __future__ import annotations

import errno
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.generate import generate
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.verify import verify_cache

from caches import content, labels
from faulty_disk import NEEDS_SPACE, Forks

SET = ["--set", "window.sweeps=2", "--set", "window.stride=1", "--set", "window.block_sweeps=1"]
STAGE = ("iscc_lidar.preprocess.run.pipeline", "iscc_lidar.preprocess.datasets.synthetic")
LATE = ("hdbscan", "scipy.spatial", *STAGE)
FAULTS = {
    "kill": ("kill", 0),
    "torn": ("torn", 0),
    "no space": ("from", errno.ENOSPC),
    "no space once": ("once", errno.ENOSPC),
    "input/output error": ("once", errno.EIO),
}
EVERY = 211
"""Of the operations every so many are tried where not all are."""


class Stage:
    """Runs ``iscc-preprocess run`` on two coarse sweeps in two blocks."""

    def __init__(self, streets: Path, log: Path) -> None:
        self.options = ["run", "synthetic", "--root", str(streets), "--workers", "0", *SET]
        self.forks = Forks("iscc_lidar.preprocess.cli", LATE, log)

    def run(self, cache: Path, fault: str = "none", n: int = 0, error: int = 0):
        return self.forks.run(cache, [*self.options, "--cache", str(cache)], fault, n, error)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("stage")
    generate(folder / "streets", SynthConfig(sequences=1, sweeps=3, beams=16, columns=128), workers=0)
    stage = Stage(folder / "streets", folder / "log")
    yield stage
    stage.forks.stop()


@pytest.fixture(scope="module")
def whole(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that nothing interrupted."""
    cache = tmp_path_factory.mktemp("caches") / "whole"
    ended = stage.run(cache)
    assert ended.status == 0, ended.said
    return cache


@pytest.fixture(scope="module")
def operations(stage: Stage, whole: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What such a run does to its cache, in order."""
    ended = stage.run(tmp_path_factory.mktemp("caches") / "counted")
    kinds = Counter(operation.split()[0] for operation in ended.done)
    assert kinds.keys() >= {"open", "write", "fsync", "rename", "mkdir"}
    return ended.done


def after(stage: Stage, cache: Path, whole: Path, fault: str, n: int) -> str:
    """What is wrong after a fault and a run in peace; nothing if all is as if there had been none."""
    kind, error = FAULTS[fault]
    ended = stage.run(cache, kind, n, error)
    wrong = ""
    if kind in ("kill", "torn") and ended.status != -9:
        wrong = f"was not killed: {ended.said}"
    needs_space = any(operation.split()[0] in NEEDS_SPACE for operation in ended.done[n - 1 :])
    told = ended.status == 1 and "No space left on device. What was finished" in ended.said
    if kind == "from" and needs_space and not told:
        wrong = f"did not say so: {ended.status} {ended.said}"
    if "Traceback" in ended.said:
        wrong = ended.said
    try:
        if labels(Cache(cache)) != labels(Cache(whole)):
            wrong = "a reader is given something else"
    except UserError as told:
        if "no finished cache here" not in str(told):
            wrong = f"a reader finds {told}"
    again = stage.run(cache)
    if again.status != 0:
        wrong = f"does not run again: {again.said}"
    elif content(cache) != content(whole):
        wrong = f"differs: {sorted(content(cache).items() ^ content(whole).items())[:3]}"
    elif verify_cache(cache):
        wrong = str(verify_cache(cache)[0])
    shutil.rmtree(cache)
    return wrong


def sweep(stage: Stage, cache: Path, whole: Path, fault: str, points: range) -> dict[int, str]:
    return {n: wrong for n in points if (wrong := after(stage, cache, whole, fault, n))}


@pytest.mark.parametrize(
    "fault", [name if name in ("kill", "no space") else pytest.param(name, marks=pytest.mark.slow) for name in FAULTS]
)
def test_a_fault_at_some_operations_leaves_no_trace(
    stage: Stage, whole: Path, operations: list[str], tmp_path: Path, fault: str
) -> None:
    start = 1 + list(FAULTS).index(fault)
    assert sweep(stage, tmp_path / "cache", whole, fault, range(start, len(operations) + 1, EVERY)) == {}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_operation_leaves_no_trace(
    stage: Stage,
    whole: Path,
    operations: list[str],
    tmp_path: Path,
    fault: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    points = range(1, len(operations) + 1)
    found = sweep(stage, tmp_path / "cache", whole, fault, points)
    with capsys.disabled():
        print(f"\n{fault}: points tried: {len(points)}, with a trace: {len(found)}")
    assert found == {}
