"""Exports, import and join that are killed, or whose disk fails, at any of the things they do, and run again."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import open_dataset
from iscc_lidar.preprocess.run.pipeline import preprocess
from iscc_lidar.preprocess.segment.windows import WindowConfig
from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.generate import generate
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.export.target import ExportOptions, all_targets, find_target
from iscc_lidar.shared.export.write import export_cache
from iscc_lidar.shared.store.local import LocalStore

from caches import files_below
from faulty_disk import NEEDS_SPACE, Ended, Forks

MODULES = (
    "iscc_lidar.preprocess.run.join",
    "iscc_lidar.preprocess.datasets.synthetic",
    "iscc_lidar.api.dataset_sweeps",
    "iscc_lidar.shared.corrections.write",
    "iscc_lidar.shared.export.write",
    "iscc_lidar.shared.cache.array_files",
    "iscc_lidar.shared.cache.instances",
    "iscc_lidar.shared.cache.labels_only",
    "pydantic",
    *(["h5py"] if find_spec("h5py") else []),
)
EXPORTS = [target.name for target in all_targets() if target.name != "waymo"]  # which needs Waymo's files
COMMANDS = [*EXPORTS, "import", "join"]
FAULTS = {
    "kill": ("kill", 0),
    "torn": ("torn", 0),
    "no space": ("from", errno.ENOSPC),
    "input/output error": ("once", errno.EIO),
}
SOME = {"torn": (0.2, 0.75), "no space": (0.5,)}
"""Where in the order of operations a fault is tried where not at all of them."""


@dataclass
class Files:
    """What the commands work on: sweeps, their cache, labels without points, corrections, and whole results."""

    folder: Path
    forks: Forks

    def run(self, command: str, out: Path, fault: str = "none", n: int = 0, error: int = 0) -> Ended:
        here = {name: str(self.folder / name) for name in ("streets", "cache", "labels-only", "table.csv")}
        arguments = {
            "import": ["import", here["cache"], str(out), "--from", here["table.csv"]],
            "join": ["join", here["labels-only"], here["streets"], str(out), "--workers", "0"],
        }
        export = ["export", here["cache"], str(out), "--to", command, "--min-confidence", "0"]
        return self.forks.run(out, arguments.get(command, export), fault, n, error)


@dataclass(frozen=True)
class Whole:
    """What a command writes that nothing interrupts: its files, what it does in order, which file is there last."""

    files: dict[str, bytes]
    operations: list[str]
    last: str


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    folder = tmp_path_factory.mktemp("faults")
    generate(folder / "streets", SynthConfig(sequences=1, sweeps=3, beams=16, columns=128), workers=0)
    window = WindowConfig(sweeps=2, stride=1, block_sweeps=2)
    preprocess(
        open_dataset("synthetic", folder / "streets"), LocalStore(folder / "cache"), PreprocessConfig(window=window)
    )
    cache = Cache(folder / "cache")
    export_cache(cache, folder / "labels-only", find_target("labels-only"), ExportOptions())
    rows = [f"{name},{cache.group_ids(name)[0]},car" for name in cache.sequence_names]
    (folder / "table.csv").write_text("\n".join(["sequence,group,class", *rows, ""]))
    files = Files(folder, Forks("iscc_lidar.api.cache_cli", MODULES, folder / "log"))
    yield files
    files.forks.stop()


@pytest.fixture(scope="module", params=COMMANDS)
def whole(request: pytest.FixtureRequest, given: Files) -> tuple[str, Whole]:
    command = request.param
    needed = {"opensceneflow": "h5py", "rerun": "rerun"}.get(command, "numpy")
    if find_spec(needed) is None:
        pytest.skip(f"the package {needed} is not installed")
    out = given.folder / f"whole-{command}"
    ended = given.run(command, out)
    assert ended.status == 0, ended.said
    renamed = [operation.removeprefix("rename ") for operation in ended.done if operation.startswith("rename ")]
    return command, Whole(results(out), ended.done, renamed[-1])


def results(out: Path) -> dict[str, bytes]:
    """What a reader may take for results; a recording has no bytes of its own."""
    found = {name: data for name, data in files_below(out).items() if not name.startswith((".owner", ".aside"))}
    found = {name: data for name, data in found.items() if not Path(name).name.endswith(".tmp")}
    return {name: b"" if name.endswith(".rrd") else data for name, data in found.items()}


def after(given: Files, command: str, out: Path, whole: Whole, fault: str, n: int) -> str:
    """What is wrong after a fault and a run in peace; nothing if all is as if there had been none."""
    kind, error = FAULTS[fault]
    ended = given.run(command, out, kind, n, error)
    wrong = ""
    if kind in ("kill", "torn") and ended.status != -9:
        wrong = f"was not killed: {ended.said}"
    needs_space = any(operation.split()[0] in NEEDS_SPACE for operation in ended.done[n - 1 :])
    if kind == "from" and needs_space and "No space left on device. What was finished" not in ended.said:
        wrong = f"did not say so: {ended.status} {ended.said}"
    if "Traceback" in ended.said:
        wrong = ended.said
    left = results(out)
    if half := [name for name, data in left.items() if data != whole.files.get(name) and name != "exported.json"]:
        wrong = f"half-written: {half}"
    is_last_there = left.get(whole.last) == whole.files[whole.last]
    if is_last_there and left != whole.files:
        wrong = f"looks finished without {sorted(whole.files.keys() - left.keys())}"
    again = given.run(command, out)
    if again.status != 0 and (command, is_last_there) != ("join", True):
        wrong = f"does not run again: {again.said}"
    elif results(out) != whole.files:
        wrong = f"differs: {sorted(results(out).items() ^ whole.files.items())[:3]}"
    elif torn := [name for name in files_below(out) if name.endswith(".tmp")]:
        wrong = f"left behind: {torn}"
    shutil.rmtree(out)
    return wrong


def tried(given: Files, found: tuple[str, Whole], out: Path, fault: str, places: Iterable[int]) -> dict[int, str]:
    command, whole = found
    return {n: wrong for n in places if (wrong := after(given, command, out, whole, fault, n))}


@pytest.mark.parametrize("fault", SOME)
def test_a_fault_at_some_operations_leaves_no_trace(
    given: Files, whole: tuple[str, Whole], tmp_path: Path, fault: str
) -> None:
    writes = [n for n, operation in enumerate(whole[1].operations, start=1) if operation.startswith("write ")]
    places = [writes[int(len(writes) * share)] for share in SOME[fault]]
    assert tried(given, whole, tmp_path / "out", fault, places) == {}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_operation_leaves_no_trace(
    given: Files, whole: tuple[str, Whole], tmp_path: Path, fault: str
) -> None:
    places = range(1, len(whole[1].operations) + 1)
    assert tried(given, whole, tmp_path / "out", fault, places) == {}
