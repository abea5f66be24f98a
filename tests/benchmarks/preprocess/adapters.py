"""Speed of an adapter, and of reading the same files' bytes alone."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tqdm import tqdm

from iscc_lidar.preprocess.datasets.registry import Dataset

_CHUNK: Final = 2**24
_FLOOR_PASSES: Final = 3  # the fastest counts: a few ms each where sequences are short

_COLUMNS: Final = {
    "sweeps": "sweeps",
    "points_per_sweep": "points",
    "mb_per_sweep": "MB/sweep",
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
    of many sweeps) counts once per sequence, in bytes and in the floor. An adapter's memory is empty at the start
    of a sequence only if nothing of it was read before in this process.

    Args:
        dataset: what to read.
        sequences: their names; all by default.

    Returns:
        ``sweeps``, ``points_per_sweep``, ``mb_per_sweep`` (10^6 bytes); ``sweeps_per_s`` and ``mb_per_s`` of the
        adapter; ``floor_mb_per_s`` of reading bytes; ``times_floor``, the adapter's seconds over those. Without a
        sweep only ``sweeps``, 0.
    """
    sweeps, points, size, seconds, floor_s = 0, 0, 0, 0.0, 0.0
    for sequence in tqdm(
        sequences or dataset.sequences(), desc=f"reading {dataset.name}", unit="sequence", leave=False
    ):
        count = len(dataset.sweep_names(sequence))
        files = list(dict.fromkeys(file for index in range(count) for file in dataset.input_files(sequence, index)))
        size += _read_bytes(files)
        floor_s += min(_seconds(files) for _ in range(_FLOOR_PASSES))
        start = time.perf_counter()
        points += sum(len(dataset.read(sequence, index)) for index in range(count))
        seconds += time.perf_counter() - start
        sweeps += count
    if not sweeps:
        return {"sweeps": 0.0}
    return {
        "sweeps": float(sweeps),
        "points_per_sweep": points / sweeps,
        "mb_per_sweep": size / 1e6 / sweeps,
        "sweeps_per_s": sweeps / seconds,
        "mb_per_s": size / 1e6 / seconds,
        "floor_mb_per_s": size / 1e6 / floor_s,
        "times_floor": seconds / floor_s,
    }


def adapter_table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Format figures of bench_adapter, of alignment or of both as a table, one row per dataset."""
    shown = {key: title for key, title in _COLUMNS.items() if any(key in figures for figures in rows.values())}
    lines = [" " * 24 + "".join(f"{title:>11}" for title in shown.values())]
    for name, figures in rows.items():
        cells = (f"{figures[key]:11,.{_decimals(key)}f}" if key in figures else f"{'-':>11}" for key in shown)
        lines.append(f"{name:24}" + "".join(cells))
    return "\n".join(lines)


def _decimals(key: str) -> int:
    if key in ("sweeps", "points_per_sweep", "pairs"):
        return 0
    return 3 if key in ("near_with_poses", "near_without", "mb_per_sweep", "moved_m") else 1


def _seconds(files: Sequence[Path]) -> float:
    start = time.perf_counter()
    _read_bytes(files)
    return time.perf_counter() - start


def _read_bytes(files: Iterable[Path]) -> int:
    size = 0
    buffer = bytearray(_CHUNK)
    for path in files:
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                size += count
    return size
