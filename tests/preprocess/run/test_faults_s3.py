"""Pre-processing into an object store that is killed before any of its PUTs and removals, and runs again."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.generate import generate
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.verify import verify_cache

from caches import content, labels
from faulty_disk import Ended, Forks

SET = ["--set", "window.sweeps=2", "--set", "window.stride=1", "--set", "window.block_sweeps=1"]
STAGE = ("iscc_lidar.preprocess.run.pipeline", "iscc_lidar.preprocess.datasets.synthetic")
LATE = ("hdbscan", "scipy.spatial", "s3fs", *STAGE)


class Stage:
    """Runs ``iscc-preprocess run`` on three coarse sweeps in two blocks, into a bucket."""

    def __init__(self, s3: str, folder: Path) -> None:
        generate(folder / "streets", SynthConfig(sequences=1, sweeps=3, beams=16, columns=64), workers=0)
        self.options = ["run", "synthetic", "--root", str(folder / "streets"), "--workers", "0", *SET]
        self.forks = Forks("iscc_lidar.preprocess.cli", LATE, folder / "log")
        self.whole = f"{s3}/{uuid.uuid4().hex}"
        ended = self.run(self.whole)
        assert ended.status == 0, ended.said
        self.operations = ended.done
        assert {operation.split()[0] for operation in ended.done} == {"put", "remove"}

    def run(self, cache: str, fault: str = "none", n: int = 0) -> Ended:
        return self.forks.run(cache, [*self.options, "--cache", cache], fault, n)

    def after_kill(self, cache: str, n: int) -> str:
        """What is wrong after a kill before the n-th operation and a run in peace; nothing if nothing."""
        killed = self.run(cache, "kill", n)
        if killed.status != -9:
            return f"was not killed: {killed.said}"
        try:
            if labels(Cache(cache)) != labels(Cache(self.whole)):
                return "a reader is given something else"
        except UserError as told:
            if "no finished cache here" not in str(told):
                return f"a reader finds {told}"
        again = self.run(cache)
        if again.status != 0:
            return f"does not run again: {again.said}"
        if content(cache) != content(self.whole):
            return f"differs: {sorted(content(cache).items() ^ content(self.whole).items())[:3]}"
        problems = verify_cache(cache)
        return str(problems[0]) if problems else ""

    def sweep(self, points: range) -> dict[int, str]:
        """What is wrong, by the point of the kill."""
        found = {}
        for n in points:
            cache = f"{self.whole}-{n}"
            if wrong := self.after_kill(cache, n):
                found[n] = wrong
            fsspec.filesystem("s3").rm(cache, recursive=True)
        return found


@pytest.fixture(scope="module")
def stage(s3: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(s3, tmp_path_factory.mktemp("stage"))
    yield stage
    stage.forks.stop()


@pytest.mark.slow
def test_a_kill_at_any_operation_leaves_no_trace(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    points = range(1, len(stage.operations) + 1)
    found = stage.sweep(points)
    with capsys.disabled():
        print(f"\nobject store, kill: points tried: {len(points)}, with a trace: {len(found)}")
    assert found == {}
