"""Estimate the cost of a run from a few samples of its data.

Time grows with the sweeps read and the windows clustered, the cache with the sweeps and the blocks, a worker's memory
with the sweeps of a block. Each cost is a sum of two terms, so two lengths determine both: a sample of successive
sweeps, and its first window alone, are processed by the same tasks as in a run, in a temporary folder.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from io import StringIO
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
from tqdm import tqdm

from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import Dataset
from iscc_lidar.preprocess.plan.cache_plan import Plan, resolve_auto
from iscc_lidar.preprocess.plan.sequence_job import STEPS_FOLDER, plan_sequence
from iscc_lidar.preprocess.run.pipeline import process_jobs
from iscc_lidar.preprocess.run.results import write_manifest
from iscc_lidar.preprocess.segment.windows import WindowConfig, plan_blocks, plan_windows
from iscc_lidar.shared.store.local import LocalStore
from iscc_lidar.shared.store.store import Store

SAMPLES: Final = 3
_WINDOWS: Final = 5  # of a sample


@dataclass(frozen=True)
class SweepRange:
    """A range of successive sweeps of one sequence."""

    sequence: str
    sweeps: range


@dataclass(frozen=True)
class Workload:
    """Amount of data to process."""

    sequences: int
    sweeps: int
    windows: int
    blocks: int
    reads: int  # sweeps of the windows of each block, summed, as neighbouring blocks read some twice
    block_sweeps: int  # of the longest block
    one: int = 1  # for the constant term of a cost


@dataclass(frozen=True)
class Cost:
    """Measured or estimated cost of a run.

    Attributes:
        cpu_s: CPU seconds, on this machine.
        cache_bytes: size of the finished cache.
        steps_bytes: size of the intermediate files, kept to save time in later runs.
        peak_bytes: peak memory of one worker.
    """

    cpu_s: float
    cache_bytes: float
    steps_bytes: float
    peak_bytes: float


_TERMS: Final = {
    "cpu_s": ("reads", "windows"),
    "cache_bytes": ("sweeps", "blocks"),
    "steps_bytes": ("sweeps", "blocks"),
    "peak_bytes": ("block_sweeps", "one"),
}
"""The two quantities of a workload that each cost grows with."""


def workload_of(sweeps: Sequence[int], config: WindowConfig) -> Workload:
    """Count the windows and blocks of sequences of the given numbers of sweeps."""
    blocks = [block for n in sweeps for block in plan_blocks(plan_windows(n, config), config)]
    return Workload(
        len(sweeps),
        sum(sweeps),
        sum(len(block) for block in blocks),
        len(blocks),
        sum(block[-1].stop - block[0].start for block in blocks),
        max((block[-1].own_stop - block[0].own_start for block in blocks), default=0),
    )


def choose_samples(
    dataset: Dataset, sequences: Sequence[str], config: WindowConfig, samples: int = SAMPLES
) -> list[SweepRange]:
    """Choose samples at the middles of equal shares of all sweeps, each within one sequence."""
    length = config.sweeps + (_WINDOWS - 1) * config.stride
    counts = [len(dataset.sweep_names(sequence)) for sequence in sequences]
    ends = np.cumsum(counts)
    chosen = []
    for place in (2 * np.arange(samples) + 1) * sum(counts) // (2 * samples):
        k = int(np.searchsorted(ends, place, side="right"))
        start = max(0, min(int(place - ends[k] + counts[k]), counts[k] - length))
        chosen.append(SweepRange(sequences[k], range(start, min(start + length, counts[k]))))
    return list(dict.fromkeys(chosen))


def estimate_costs(
    dataset: Dataset, samples: Sequence[SweepRange], config: PreprocessConfig, workloads: Sequence[Workload]
) -> list[list[Cost]]:
    """Process samples of a dataset and estimate the cost of each workload, once from each sample.

    Raises UserError where a sample cannot be processed.
    """
    config = resolve_auto(config)
    measured = []
    for sample in tqdm(samples, desc="processing samples", unit="sample", leave=False):
        lengths = sorted({min(config.window.sweeps, len(sample.sweeps)), len(sample.sweeps)})
        costs = [_cost_alone(dataset, replace(sample, sweeps=sample.sweeps[:n]), config) for n in lengths]
        measured.append([(workload_of([n], config.window), cost) for n, cost in zip(lengths, costs, strict=True)])
    return [[_extrapolate(runs, workload) for runs in measured] for workload in workloads]


def measure_cost(run: Callable[[], object], store: Store) -> Cost:
    """Call a function that makes a cache in this process, and measure what it took."""
    began = time.process_time()
    run()
    cpu_s = time.process_time() - began
    sizes = store.files("")
    steps = sum(size for name, size in sizes.items() if name.startswith(STEPS_FOLDER))
    return Cost(cpu_s, sum(sizes.values()) - steps, steps, peak_bytes())


def peak_bytes() -> int:
    """Return the peak memory of this process; getrusage would include that of the parent process on Linux."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    import resource  # missing on Windows, where everything but this works

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts bytes


def _cost_alone(dataset: Dataset, sample: SweepRange, config: PreprocessConfig) -> Cost:
    """Measure a sample in a process of its own, so that its peak memory is that of the sample."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(_cost, dataset, sample, config).result()


def _cost(dataset: Dataset, sample: SweepRange, config: PreprocessConfig) -> Cost:
    with tempfile.TemporaryDirectory() as folder, redirect_stderr(StringIO()):
        # One sweep first: imports and set-up happen once per process, and are not part of the cost.
        _process(dataset, replace(sample, sweeps=sample.sweeps[:1]), LocalStore(Path(folder) / "once"), config)
        store = LocalStore(Path(folder) / "cache")
        return measure_cost(lambda: _process(dataset, sample, store, config), store)


def _process(dataset: Dataset, sample: SweepRange, store: Store, config: PreprocessConfig) -> None:
    job = plan_sequence(dataset, sample.sequence, store, config, sample.sweeps)
    results = list(process_jobs([job], on_error="skip"))
    write_manifest(Plan(dataset, config, (job,), ()), store, results)


def _extrapolate(runs: Sequence[tuple[Workload, Cost]], workload: Workload) -> Cost:
    """Fit each cost as a sum of two terms that grow with the workload, and evaluate it for another workload."""
    from scipy.optimize import nnls  # not at the top: it would add to the memory of the measured process

    costs = {}
    for name, terms in _TERMS.items():
        factors = np.array([[getattr(done, term) for term in terms] for done, _ in runs], dtype=np.float64)
        values = np.array([getattr(cost, name) for _, cost in runs], dtype=np.float64)
        weights = nnls(factors, values)[0]  # not negative: neither term takes back what the other adds
        costs[name] = float(weights @ [getattr(workload, term) for term in terms])
    return Cost(**costs)
