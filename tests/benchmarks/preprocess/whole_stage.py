"""Cost of all of preprocessing: time, memory, disk; one worker and two; and how well a dry run estimates it."""

from __future__ import annotations

import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Final

from iscc_lidar.data_schemas.manifest import ARRAYS_FOLDER
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import Dataset, open_dataset
from iscc_lidar.preprocess.estimate.costs import choose_samples, estimate_costs, measure_cost, workload_of
from iscc_lidar.preprocess.run.executor import Executor
from iscc_lidar.preprocess.run.pipeline import preprocess
from iscc_lidar.shared.cache.verify import verify_cache
from iscc_lidar.shared.store.local import LocalStore

_SEQUENCES: Final = 16  # shared by two workers
_SWEEPS: Final = 28  # of each: one worker works while the other has nothing left for a small part of the time


def bench_stage(root: Path) -> dict[str, float]:
    """Process all of a dataset in SemanticKITTI's layout in one process, verify the cache, compare with a dry run.

    Returns:
        ``cpu_s_per_sweep``, ``peak_mb``; ``disk.*``, shares of the bytes of the .bin files: ``all`` of the cache, its
        ``label``, the ``intermediate`` files; ``verify_mb_per_s``; ``estimate.cpu_s`` and ``estimate.bytes``, the
        dry run's estimates over the actual values.
    """
    dataset, config = open_dataset("semantickitti", root), PreprocessConfig()
    counts = [len(dataset.sweep_names(sequence)) for sequence in dataset.sequences()]
    samples = choose_samples(dataset, dataset.sequences(), config.window)
    estimated = estimate_costs(dataset, samples, config, [workload_of(counts, config.window)])[0]
    found = _process_alone(dataset)
    cache_bytes = found.pop("cache_bytes")
    raw_bytes = sum(file.stat().st_size for file in root.glob("sequences/*/velodyne/*.bin"))
    shares = {f"disk.{name}": found.pop(f"{name}_bytes") / raw_bytes for name in ("label", "intermediate")}
    return {
        "sweeps": float(sum(counts)),
        "cpu_s_per_sweep": found["cpu_s"] / sum(counts),
        **found,
        "disk.all": cache_bytes / raw_bytes,
        **shares,
        "estimate.cpu_s": fmean(cost.cpu_s for cost in estimated) / found["cpu_s"],
        "estimate.bytes": fmean(cost.cache_bytes for cost in estimated) / cache_bytes,
    }


def bench_workers(root: Path) -> dict[str, float]:
    """Process several copies of a dataset's first sweeps with one worker process and with two; elapsed seconds."""
    with tempfile.TemporaryDirectory() as folder:
        copies = Path(folder) / "copies"
        write_back_and_forth(root, copies, _SWEEPS)
        for k in range(1, _SEQUENCES):
            (copies / f"sequences/{k:02}").symlink_to("00")
        dataset = open_dataset("semantickitti", copies)
        one, two = (_elapsed(dataset, Path(folder) / f"cache{n}", n) for n in (1, 2))
    return {"one_s": one, "two_s": two, "two_times_one": one / two}


def bench_length(root: Path, sweeps: int) -> dict[str, float]:
    """Measure peak memory of one process for a sequence of ``sweeps`` sweeps, and of a tenth of them.

    The dataset's first sequence is repeated forwards and backwards until it is that long.
    """
    figures: dict[str, float] = {}
    for n in (sweeps // 10, sweeps):
        with tempfile.TemporaryDirectory() as folder:
            write_back_and_forth(root, Path(folder), n)
            found = _process_alone(open_dataset("semantickitti", Path(folder)))
        figures |= {f"{n}.peak_mb": found["peak_mb"], f"{n}.cpu_s_per_sweep": found["cpu_s"] / n}
    return figures


def write_back_and_forth(root: Path, out: Path, sweeps: int) -> None:
    """Write sequence 00 of links to the first sequence's sweeps at ``root``, forwards and backwards alternately."""
    source = root / "sequences" / open_dataset("semantickitti", root).sequences()[0]
    names = sorted(file.stem for file in (source / "velodyne").glob("*.bin"))
    poses = (source / "poses.txt").read_text(encoding="utf-8").splitlines()
    round_trip = [*names, *names[-2:0:-1]]
    chosen = [round_trip[k % len(round_trip)] for k in range(sweeps)]
    folder = out / "sequences" / "00"
    (folder / "velodyne").mkdir(parents=True)
    for k, name in enumerate(chosen):
        (folder / f"velodyne/{k:06}.bin").symlink_to((source / f"velodyne/{name}.bin").resolve())
    (folder / "poses.txt").write_text("".join(poses[int(name)] + "\n" for name in chosen), encoding="utf-8")
    shutil.copy(source / "calib.txt", folder)


def _process_alone(dataset: Dataset) -> dict[str, float]:
    """Process a dataset in a process of its own, so that its peak memory is that of the work alone."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(_process, dataset).result()


def _process(dataset: Dataset) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        store = LocalStore(Path(folder))
        spent = measure_cost(lambda: preprocess(dataset, store, PreprocessConfig()), store)
        label_bytes = sum(size for name, size in store.files("").items() if f"{ARRAYS_FOLDER}/label/" in name)
        start = time.perf_counter()
        if verify_cache(folder):
            raise RuntimeError("a newly written cache is damaged")
        verify_s = time.perf_counter() - start
    return {
        "cpu_s": spent.cpu_s,
        "peak_mb": spent.peak_bytes / 1e6,
        "cache_bytes": spent.cache_bytes,
        "label_bytes": label_bytes,
        "intermediate_bytes": spent.steps_bytes,
        "verify_mb_per_s": spent.cache_bytes / verify_s / 1e6,
    }


def _elapsed(dataset: Dataset, cache: Path, workers: int) -> float:
    start = time.perf_counter()
    preprocess(dataset, LocalStore(cache), PreprocessConfig(), Executor(workers))
    return time.perf_counter() - start


def stage_table(rows: dict[str, dict[str, float]]) -> str:
    """Format figures of ``bench_stage`` as a table, one row per figure, one column per dataset."""
    names = dict.fromkeys(name for found in rows.values() for name in found)
    lines = [" " * 20 + "".join(f"{row:>32}" for row in rows)]
    return "\n".join(
        lines + [f"{name:20}" + "".join(_cell(found.get(name)) for found in rows.values()) for name in names]
    )


def _cell(value: float | None) -> str:
    return f"{'-' if value is None else f'{value:.3f}':>32}"
