"""How fast an adapter reads, beside the bytes alone; and how well its poses lay successive sweeps on each other."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from tqdm import tqdm

from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.datasets.registry import Dataset
from iscc_lidar.shared.geometry import inverse, transform

_CHUNK: Final = 2**24
_FLOOR_PASSES: Final = 3  # the quickest counts: a few ms each where sequences are short
_NEAR_M: Final = 0.1
_OWN_CAR_M: Final = 3.0  # points nearer than this may lie on the car itself and move with it
_ASKED: Final = 4000  # points of a sweep whose nearest one in the sweep before is looked for

_COLUMNS: Final = {
    "sweeps": "sweeps",
    "points_a_sweep": "points",
    "mb_a_sweep": "MB/sweep",
    "sweeps_per_s": "sweeps/s",
    "mb_per_s": "MB/s",
    "floor_mb_per_s": "bytes MB/s",
    "times_floor": "x bytes",
    "pairs": "pairs",
    "moved_m": "moved m",
    "turned_deg": "turned",
    "near_with_poses": "near",
    "near_without": "unposed",
}


def bench_adapter(dataset: Dataset, sequences: Sequence[str] | None = None) -> dict[str, float]:
    """Time the reading of all sweeps in order, in this process, and of the same files' bytes alone.

    A sequence's files are read once before, so that both find them in the page cache as far as memory allows:
    these are the costs of decoding, not of a disk. A file that several sweeps depend on (a table of poses, a file
    of many frames) counts once a sequence, in bytes and in the floor. What an adapter keeps in memory is empty at
    the start of a sequence only if nothing was read of it before in this process.

    Args:
        dataset: the data set.
        sequences: names of those to read; all by default.

    Returns:
        ``sweeps``, ``points_a_sweep``, ``mb_a_sweep`` (10^6 bytes); ``sweeps_per_s`` and ``mb_per_s`` of the adapter;
        ``floor_mb_per_s`` of reading bytes; ``times_floor``, the one's seconds over the other's. Without a sweep
        only ``sweeps``, 0.
    """
    sweeps, points, size, seconds, floor_s = 0, 0, 0, 0.0, 0.0
    for sequence in tqdm(
        sequences or dataset.sequences(), desc=f"reading {dataset.name}", unit="sequence", leave=False
    ):
        count = len(dataset.sweep_names(sequence))
        files = list(dict.fromkeys(file for index in range(count) for file in dataset.input_files(sequence, index)))
        size += _read_bytes(files)
        floor_s += min(_seconds(files) for _ in range(_FLOOR_PASSES))
        began = time.perf_counter()
        points += sum(len(dataset.read(sequence, index)) for index in range(count))
        seconds += time.perf_counter() - began
        sweeps += count
    if not sweeps:
        return {"sweeps": 0.0}
    return {
        "sweeps": float(sweeps),
        "points_a_sweep": points / sweeps,
        "mb_a_sweep": size / 1e6 / sweeps,
        "sweeps_per_s": sweeps / seconds,
        "mb_per_s": size / 1e6 / seconds,
        "floor_mb_per_s": size / 1e6 / floor_s,
        "times_floor": seconds / floor_s,
    }


def alignment(dataset: Dataset, sequence: str, max_pairs: int = 10) -> dict[str, float]:
    """Share of points that have one of the sweep before within 10 cm, placed by the poses and as measured.

    Wrong poses lower the first share, and one near the second tells of a car that stands or of poses that say
    nothing: see ``moved_m``. Points within 3 m, where the car itself is, are left out; of the later sweep every
    k-th point is asked, about 4,000.

    Args:
        dataset: the data set.
        sequence: name of a sequence whose sweeps follow each other.
        max_pairs: pairs of successive sweeps, spread over the sequence.

    Returns:
        ``pairs``, and means over them: ``near_with_poses``, ``near_without``, ``moved_m`` and ``turned_deg``, the
        sensor's motion between the two. With no pair only ``pairs``, 0.
    """
    last = len(dataset.sweep_names(sequence)) - 1
    pairs = min(last, max_pairs)
    starts = [round(k * (last - 1) / max(pairs - 1, 1)) for k in range(pairs)]
    figures = [_align(dataset.read(sequence, i), dataset.read(sequence, i + 1)) for i in starts]
    means = {name: float(np.mean([pair[name] for pair in figures])) for name in (figures[0] if figures else ())}
    return {"pairs": float(len(figures))} | means


def adapter_table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Lay out figures of several data sets as a table to print: bench_adapter's and alignment's, together or alone."""
    shown = {key: title for key, title in _COLUMNS.items() if any(key in figures for figures in rows.values())}
    lines = [" " * 24 + "".join(f"{title:>11}" for title in shown.values())]
    for name, figures in rows.items():
        cells = (f"{figures[key]:11,.{_decimals(key)}f}" if key in figures else f"{'-':>11}" for key in shown)
        lines.append(f"{name:24}" + "".join(cells))
    return "\n".join(lines)


def _decimals(key: str) -> int:
    return 0 if key in ("sweeps", "points_a_sweep", "pairs") else 3 if key.startswith(("near", "mb_a", "moved")) else 1


def _seconds(files: Sequence[Path]) -> float:
    began = time.perf_counter()
    _read_bytes(files)
    return time.perf_counter() - began


def _read_bytes(files: Iterable[Path]) -> int:
    size = 0
    buffer = bytearray(_CHUNK)
    for path in files:
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                size += count
    return size


def _align(first: Sweep, second: Sweep) -> dict[str, float]:
    first_SE3_second = inverse(first.world_SE3_sensor) @ second.world_SE3_sensor
    turn = np.clip((np.trace(first_SE3_second[:3, :3]) - 1) / 2, -1, 1)
    asked = _off_the_car(second)
    asked = asked[:: max(1, len(asked) // _ASKED)]
    tree = cKDTree(_off_the_car(first))
    return {
        "near_with_poses": _near_share(tree, transform(first_SE3_second, asked)),
        "near_without": _near_share(tree, asked),
        "moved_m": float(np.linalg.norm(first_SE3_second[:3, 3])),
        "turned_deg": float(np.degrees(np.arccos(turn))),
    }


def _off_the_car(sweep: Sweep) -> NDArray[np.float64]:
    """Points that exist, float64 [M, 3], without those near the sensor."""
    there = np.asarray(np.isfinite(sweep.xyz).all(axis=1))
    there[there] = np.linalg.norm(sweep.xyz[there], axis=1) >= _OWN_CAR_M
    xyz: NDArray[np.float64] = sweep.xyz[there].astype(np.float64)
    return xyz


def _near_share(tree: cKDTree, xyz: NDArray[np.float64]) -> float:
    if not len(xyz) or not tree.n:
        return 0.0
    distance, _ = tree.query(xyz, distance_upper_bound=_NEAR_M)
    return float(np.isfinite(distance).mean())
