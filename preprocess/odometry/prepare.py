"""Give a dataset the poses that the user asks for: its own, those of a file, or odometry, which is computed once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from iscc_lidar.preprocess.datasets._folder.tracks import Track
from iscc_lidar.preprocess.datasets.registry import Dataset, HasFindings, MayLackPoses, data_options, watched_files
from iscc_lidar.preprocess.odometry.posed import with_poses, without_poses
from iscc_lidar.preprocess.odometry.register import register_sweeps
from iscc_lidar.preprocess.plan.alignment import measure_alignment
from iscc_lidar.preprocess.plan.sequence_job import digest_of, file_state
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.own import OwnFolder, own_folder
from iscc_lidar.shared.base.text import printable

ODOMETRY: Final = "odometry"
_FIRST_LINE: Final = "# iscc-lidar odometry, seconds x y z qx qy qz qw; made from "


def prepare(
    dataset: Dataset, poses: str | None, cache: str, sequences: Sequence[str] | None = None, *, quiet: bool = False
) -> Dataset:
    """Return a dataset with all options set and poses for its sequences.

    Args:
        dataset: as it was opened.
        poses: a file or folder of poses; "odometry" to compute them; None for its own, and odometry where a folder of
            sweeps has none.
        cache: folder or URL of the cache; what is computed is written next to it, into CACHE-poses, and reused.
        sequences: those whose poses are computed, by default all.
        quiet: do not print what was found in the data.

    Raises:
        UserError: files of poses that do not fit, KISS-ICP is missing, or the cache is at a URL.
    """
    dataset = settle(dataset, quiet=quiet)
    if poses is not None and poses != ODOMETRY:
        return with_poses(dataset, Path(poses))
    wanted = dataset.sequences() if sequences is None else sequences
    if poses is None and (not isinstance(dataset, MayLackPoses) or any(map(dataset.has_poses, dataset.sequences()))):
        return dataset
    if poses is None:
        print("no poses: they are computed from the sweeps (--poses FILE to pass them)", file=sys.stderr)
    if "://" in cache:
        raise UserError(
            f"--poses odometry: cannot be written next to {cache}; compute them first: iscc-preprocess odometry "
            f"{dataset.name} POSES, then pass --poses POSES"
        )
    folder = Path(f"{cache.rstrip('/')}-poses")
    compute_poses(dataset, folder, wanted)
    return with_poses(dataset, folder)


def settle(dataset: Dataset, *, quiet: bool = False) -> Dataset:
    """Return a dataset with all options set, and print what was found for those that were left open."""
    if not isinstance(dataset, HasFindings):
        return dataset
    settled, notes = dataset.settled()
    for note in () if quiet else notes:
        print(f"found: {printable(note)}", file=sys.stderr)
    return settled


def compute_poses(dataset: Dataset, out: Path, sequences: Sequence[str]) -> None:
    """Write the poses of sequences to ``out/SEQUENCE.tum``, unless they are there and made from the same files.

    Prints how well the sweeps fit by them. Raises UserError where ``out`` is not this program's folder.
    """
    folder = own_folder(out, "poses")
    folder.remove_torn()
    dataset = without_poses(dataset)
    for sequence in sequences:
        key = _key(dataset, sequence)
        if not _is_current(out / f"{sequence}.tum", key):
            track = register_sweeps(dataset, sequence)
            folder.write(f"{sequence}.tum", _as_text(track, key).encode())
            _report(dataset, folder, sequence, track)


def _report(dataset: Dataset, folder: OwnFolder, sequence: str, track: Track) -> None:
    """Print the length of the path and how well successive sweeps fit by the poses."""
    steps = np.diff(track.world_SE3_sensor[:, :3, 3], axis=0)
    fit = measure_alignment(with_poses(dataset, folder.path), sequence)
    near = (
        f"{fit['near_with_poses']:.0%} of points lie within 10 cm of a surface of the previous sweep, "
        f"{fit['near_without']:.0%} without poses"
        if fit["pairs"]
        else "a single sweep"
    )
    print(
        f"odometry: sequence {sequence}: {len(track.ns)} sweeps, {np.linalg.norm(steps, axis=1).sum():.1f} m; {near}",
        file=sys.stderr,
    )


def _as_text(track: Track, key: str) -> str:
    """Return poses in TUM's format."""
    from scipy.spatial.transform import Rotation

    turns = Rotation.from_matrix(track.world_SE3_sensor[:, :3, :3]).as_quat()
    rows = np.concatenate([track.world_SE3_sensor[:, :3, 3], turns], axis=1)
    lines = [
        f"{ns // 10**9}.{ns % 10**9:09d} " + " ".join(f"{value:.9f}" for value in row)
        for ns, row in zip(track.ns.tolist(), rows.tolist(), strict=True)
    ]
    return "\n".join([f"{_FIRST_LINE}{key}", *lines]) + "\n"


def _is_current(file: Path, key: str) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.readline(1000).decode(errors="replace").rstrip("\n") == f"{_FIRST_LINE}{key}"


def _key(dataset: Dataset, sequence: str) -> str:
    """Return the digest of what poses depend on: options, and names, sizes and times of change of files."""
    names = dataset.sweep_names(sequence)
    found = dict.fromkeys(f for index in range(len(names)) for f in dataset.input_files(sequence, index))
    states = [file_state(file) for file in (*found, *watched_files(dataset, sequence))]
    listed = [[state.path.name, state.size, state.mtime_ns] for state in states]
    return digest_of([dataset.name, data_options(dataset), sequence, list(names), listed])
