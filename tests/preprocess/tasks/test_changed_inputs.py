"""Files of the data that change while they are processed: nothing is stored that was made of two versions."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets import registry
from iscc_lidar.preprocess.datasets.semantickitti import SemanticKitti
from iscc_lidar.preprocess.plan.sequence_job import SequenceJob, file_state, plan_sequence
from iscc_lidar.preprocess.run.executor import Executor
from iscc_lidar.preprocess.run.pipeline import preprocess
from iscc_lidar.preprocess.tasks.sequence_tasks import finish_task, link_task, segment_task
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.verify import verify_cache
from iscc_lidar.shared.store.local import LocalStore

from caches import content

SWEEP, LABEL, POSES = "velodyne/000001.bin", "labels/000001.label", "poses.txt"


def other_points(folder: Path) -> None:
    """Another sweep, of as many points."""
    points = np.fromfile(folder / SWEEP, np.float32).reshape(-1, 4)
    points[::-1].tofile(folder / SWEEP)


def more_points(folder: Path) -> None:
    for name, more in ((SWEEP, 16), (LABEL, 4)):
        (folder / name).write_bytes((folder / name).read_bytes() + bytes(100 * more))


def other_labels(folder: Path) -> None:
    np.zeros_like(np.fromfile(folder / LABEL, np.uint32)).tofile(folder / LABEL)


def other_poses(folder: Path) -> None:
    """With the same time of change."""
    status = (folder / POSES).stat()
    poses = np.loadtxt(folder / POSES)
    poses[:, 3] += 0.5
    np.savetxt(folder / POSES, poses)
    os.utime(folder / POSES, ns=(status.st_atime_ns, status.st_mtime_ns))


def another_file(folder: Path) -> None:
    """The new content replaces the old under its name, as by mv."""
    aside = folder / "velodyne/aside"
    np.fromfile(folder / SWEEP, np.float32).reshape(-1, 4)[::-1].tofile(aside)
    aside.replace(folder / SWEEP)


def no_labels(folder: Path) -> None:
    (folder / LABEL).unlink()


CHANGES = [
    (other_points, SWEEP),
    (more_points, "000001"),
    (other_labels, LABEL),
    (other_poses, POSES),
    (another_file, SWEEP),
    (no_labels, LABEL),
]


def planned(streets: Path, cache: Path, config: PreprocessConfig) -> SequenceJob:
    return plan_sequence(registry.open_dataset("synthetic", streets), "00", LocalStore(cache), config)


@pytest.mark.parametrize(("change", "named"), CHANGES)
def test_between_the_two_passes(
    change: Callable[[Path], None], named: str, own_streets: Path, tiny_config: PreprocessConfig, tmp_path: Path
) -> None:
    job = planned(own_streets, tmp_path / "cache", tiny_config)
    segmented = [segment_task(job, block) for block in range(len(job.blocks))]
    ids = link_task(job, segmented)
    change(own_streets / "sequences/00")
    with pytest.raises(UserError, match=rf"{named}.* while sequence 00 was processed, .* run the same command again"):
        finish_task(job, 0, segmented, ids)
    assert not job.store.files("sequences")


@dataclass(frozen=True)
class Changing(SemanticKitti):
    """Data of which a file changes just after a task has read a sweep for the ``after``-th time."""

    name: str = "synthetic"
    change: Any = None
    after: int = 1
    plan: Any = None

    def read(self, sequence: str, index: int) -> Sweep:
        sweep = super().read(sequence, index)
        if self.plan.exists():  # before, sweeps are judged
            READ.append(index)
        if READ.count(2) == self.after and READ[-1] == index == 2:
            self.change(self.root / "sequences" / sequence)
        return sweep


READ: list[int] = []


@pytest.mark.parametrize(
    ("change", "named", "after"),
    [
        pytest.param(*change, after, marks=[] if number % 3 == after - 1 else [pytest.mark.slow])
        for number, change in enumerate(CHANGES)
        for after in (1, 2, 3)
    ],
)
def test_during_a_pass(
    change: Callable[[Path], None],
    named: str,
    after: int,
    own_streets: Path,
    tiny_config: PreprocessConfig,
    tmp_path: Path,
) -> None:
    """After the first and second time, when two blocks are segmented; after the third, when one is finished."""
    READ.clear()
    cache = tmp_path / "cache"
    data = Changing(own_streets, change=change, after=after, plan=cache / ".steps/plan.json")
    with pytest.raises(UserError, match=rf"{named}"):
        preprocess(data, LocalStore(cache), tiny_config)
    assert not (cache / "manifest.json").exists()
    data = registry.open_dataset("synthetic", own_streets)
    preprocess(data, LocalStore(cache), tiny_config)
    preprocess(data, LocalStore(tmp_path / "at once"), tiny_config)
    assert content(cache) == content(tmp_path / "at once")
    assert verify_cache(cache) == []


def test_blocks_segmented_from_different_versions(
    own_streets: Path, tiny_config: PreprocessConfig, tmp_path: Path
) -> None:
    """Each block's files are as when it was segmented, but labels of one come from the other's."""
    job = planned(own_streets, tmp_path / "cache", tiny_config)
    shared = own_streets / "sequences/00/velodyne/000002.bin"
    points = np.fromfile(shared, np.float32).reshape(-1, 4)
    segmented = [segment_task(job, 0)]
    points[::-1].tofile(shared)
    segmented.append(segment_task(job, 1))
    ids = link_task(job, segmented)
    for block in range(2):
        with pytest.raises(UserError, match=r"000002\.bin: changed while sequence 00"):
            finish_task(job, block, segmented, ids)


def test_sweeps_that_are_added_or_removed(own_streets: Path, tiny_config: PreprocessConfig, tmp_path: Path) -> None:
    """A worker that starts later lists other sweeps than were planned."""
    job = planned(own_streets, tmp_path / "cache", tiny_config)
    other = tmp_path / "other"
    shutil.copytree(own_streets, other)
    (other / "sequences/00/velodyne/000003.bin").rename(other / "sequences/00/velodyne/000009.bin")
    with pytest.raises(UserError, match="sequence 00: sweeps were added, removed or renamed during the run"):
        segment_task(replace(job, dataset=registry.open_dataset("synthetic", other)), 0)


def test_a_file_too_large_to_digest(own_streets: Path, tiny_config: PreprocessConfig, tmp_path: Path) -> None:
    table = tmp_path / "ego_pose.json"
    table.write_text("[]")
    job = replace(planned(own_streets, tmp_path / "cache", tiny_config), watched=(file_state(table),))
    segment_task(job, 0)
    table.write_text("[ ]")
    with pytest.raises(UserError, match=r"ego_pose\.json: changed while sequence 00"):
        segment_task(job, 0)


def test_a_pose_file_that_changes_between_two_runs_in_one_process(
    own_streets: Path, tiny_config: PreprocessConfig, tmp_path: Path
) -> None:
    data = registry.open_dataset("synthetic", own_streets)
    before = data.read("00", 3).world_SE3_sensor
    other_poses(own_streets / "sequences/00")
    assert not np.array_equal(data.read("00", 3).world_SE3_sensor, before)
    preprocess(data, LocalStore(tmp_path / "cache"), tiny_config, Executor(0))


def test_a_sound_sequence_is_digested_three_times(
    own_streets: Path, tiny_config: PreprocessConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from iscc_lidar.shared.base import files

    read: list[str] = []
    sha256 = files.sha256

    def counted(path: Path) -> str:
        read.append(path.name)
        return sha256(path)

    monkeypatch.setattr(files, "sha256", counted)
    preprocess(registry.open_dataset("synthetic", own_streets), LocalStore(tmp_path / "cache"), tiny_config)
    assert read.count("000000.bin") == 3
