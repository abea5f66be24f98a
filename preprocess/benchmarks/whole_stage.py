"""What the whole offline stage costs: time, memory, disk; one worker and two; and whether a dry run foretells it."""

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

_SEQUENCES: Final = 16  # that two workers share
_SWEEPS: Final = 28  # of each: what one worker does while the other has nothing left is a small part of the whole


def bench_stage(root: Path) -> dict[str, float]:
    """Process all of a data set in SemanticKITTI's layout in one process, verify it, and compare with a dry run.

    Returns:
        ``cpu_s_a_sweep``, ``peak_mb``; ``disk.*``, shares of the bytes of the .bin files: ``all``, of it ``label``,
        ``steps`` beside it; ``verify_mb_per_s``; ``foretold.cpu_s`` and ``foretold.bytes``, over what came.
    """
    dataset, config = open_dataset("semantickitti", root), PreprocessConfig()
    counts = [len(dataset.sweep_names(sequence)) for sequence in dataset.sequences()]
    samples = choose_samples(dataset, dataset.sequences(), config.window)
    foretold = estimate_costs(dataset, samples, config, [workload_of(counts, config.window)])[0]
    found = _apart(dataset)
    cache_bytes = found.pop("cache_bytes")
    raw_bytes = sum(file.stat().st_size for file in root.glob("sequences/*/velodyne/*.bin"))
    shares = {f"disk.{name}": found.pop(f"{name}_bytes") / raw_bytes for name in ("label", "steps")}
    return {
        "sweeps": float(sum(counts)),
        "cpu_s_a_sweep": found["cpu_s"] / sum(counts),
        **found,
        "disk.all": cache_bytes / raw_bytes,
        **shares,
        "foretold.cpu_s": fmean(foretold.cpu_s) / found["cpu_s"],
        "foretold.bytes": fmean(foretold.cache_bytes) / cache_bytes,
    }


def bench_workers(root: Path) -> dict[str, float]:
    """Process several copies of a data set's first sweeps by one worker process and by two: seconds that pass."""
    with tempfile.TemporaryDirectory() as folder:
        copies = Path(folder) / "copies"
        drive_to_and_fro(root, copies, _SWEEPS)
        for k in range(1, _SEQUENCES):
            (copies / f"sequences/{k:02}").symlink_to("00")
        dataset = open_dataset("semantickitti", copies)
        one, two = (_elapsed(dataset, Path(folder) / f"cache{n}", n) for n in (1, 2))
    return {"one_s": one, "two_s": two, "two_times_one": one / two}


def bench_length(root: Path, sweeps: int) -> dict[str, float]:
    """Peak memory of one process over so many sweeps of one sequence, and over a tenth of them.

    The data set's first sequence is driven forwards and backwards until there are as many.
    """
    figures: dict[str, float] = {}
    for n in (sweeps // 10, sweeps):
        with tempfile.TemporaryDirectory() as folder:
            drive_to_and_fro(root, Path(folder), n)
            found = _apart(open_dataset("semantickitti", Path(folder)))
        figures |= {f"{n}.peak_mb": found["peak_mb"], f"{n}.cpu_s_a_sweep": found["cpu_s"] / n}
    return figures


def drive_to_and_fro(root: Path, out: Path, sweeps: int) -> None:
    """Write links to the sweeps of the first sequence at ``root``, forwards and backwards in turn, as sequence 00."""
    source = root / "sequences" / open_dataset("semantickitti", root).sequences()[0]
    names = sorted(file.stem for file in (source / "velodyne").glob("*.bin"))
    poses = (source / "poses.txt").read_text(encoding="utf-8").splitlines()
    there_and_back = [*names, *names[-2:0:-1]]
    chosen = [there_and_back[k % len(there_and_back)] for k in range(sweeps)]
    folder = out / "sequences" / "00"
    (folder / "velodyne").mkdir(parents=True)
    for k, name in enumerate(chosen):
        (folder / f"velodyne/{k:06}.bin").symlink_to((source / f"velodyne/{name}.bin").resolve())
    (folder / "poses.txt").write_text("".join(poses[int(name)] + "\n" for name in chosen), encoding="utf-8")
    shutil.copy(source / "calib.txt", folder)


def _apart(dataset: Dataset) -> dict[str, float]:
    """Process a data set in a process of its own, whose memory tells nothing else."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(_process, dataset).result()


def _process(dataset: Dataset) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        store = LocalStore(Path(folder))
        spent = measure_cost(lambda: preprocess(dataset, store, PreprocessConfig()), store)
        label_bytes = sum(size for name, size in store.files("").items() if f"{ARRAYS_FOLDER}/label/" in name)
        began = time.perf_counter()
        if verify_cache(folder):
            raise RuntimeError("a cache just made is damaged")
        verify_s = time.perf_counter() - began
    return {
        "cpu_s": spent.cpu_s,
        "peak_mb": spent.peak_bytes / 1e6,
        "cache_bytes": spent.cache_bytes,
        "label_bytes": label_bytes,
        "steps_bytes": spent.steps_bytes,
        "verify_mb_per_s": spent.cache_bytes / verify_s / 1e6,
    }


def _elapsed(dataset: Dataset, cache: Path, workers: int) -> float:
    began = time.perf_counter()
    preprocess(dataset, LocalStore(cache), PreprocessConfig(), Executor(workers))
    return time.perf_counter() - began


def stage_table(rows: dict[str, dict[str, float]]) -> str:
    """Figures of ``bench_stage`` as a table, a line each, a column a data set."""
    names = dict.fromkeys(name for found in rows.values() for name in found)
    lines = [" " * 20 + "".join(f"{row:>32}" for row in rows)]
    return "\n".join(
        lines + [f"{name:20}" + "".join(_cell(found.get(name)) for found in rows.values()) for name in names]
    )


def _cell(value: float | None) -> str:
    return f"{'-' if value is None else f'{value:.3f}':>32}"
