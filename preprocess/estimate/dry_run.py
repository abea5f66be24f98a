"""The text of ``iscc-preprocess run --dry-run``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import Dataset
from iscc_lidar.preprocess.estimate.estimate import Estimate, Size, choose_stretches, estimate, size_of
from iscc_lidar.preprocess.plan.plan import Plan
from iscc_lidar.shared.base.bench_file import processor
from iscc_lidar.shared.layouts.layout import find_layout


def dry_run(plan: Plan, workers: int) -> str:
    """Try some stretches of what a plan holds and say what all of it will take, from nothing; nothing is written.

    Raises:
        UserError: a stretch cannot be processed.
    """
    counts = [job.sweeps for job in plan.jobs]
    if not sum(counts):
        return "data        no sweeps"
    stretches = choose_stretches(plan.dataset, [job.sequence for job in plan.jobs], plan.config.window)
    here, published = size_of(counts, plan.config.window), _published(plan.dataset, plan.config, sum(counts))
    found, *full = estimate(stretches, plan.config, [here] if published is None else [here, published])
    tried = sorted({stretch.stop - stretch.start for stretch in stretches})
    points = fmean([len(stretch.read(stretch.sequence, 0)) for stretch in stretches])
    input_bytes = _input_bytes(plan)
    share = fmean(found.cache_bytes) / input_bytes
    lines = [
        f"data        {_told(here)}; {_bytes(input_bytes)} of files",
        f"tried       stretches {len(stretches)}, of {' and '.join(map(str, tried))} sweeps of {points:,.0f} points, "
        f"on one core of {processor() or 'this machine'}",
        *_lines(found, here, workers),
        f"            the cache is {share:.0%} of the files",
        f"memory      {_bytes(max(found.peak_bytes))} a worker, however long a sequence is",
    ]
    if published is not None:
        lines += [
            f"\nall of {plan.dataset.name} as published, if its sweeps are like these: {_told(published)}",
            *_lines(full[0], published, workers),
        ]
    return "\n".join(lines)


def _lines(found: Estimate, size: Size, workers: int) -> list[str]:
    cores, mean_s = max(workers, 1), fmean(found.cpu_s)
    return [
        f"a sweep     {mean_s / size.sweeps:.2f} CPU s, {_bytes(fmean(found.cache_bytes) / size.sweeps)}",
        f"work        {_spread(found.cpu_s, _time)} of one core; {_time(mean_s / cores)} with {cores} of them",
        f"cache       {_spread(found.cache_bytes, _bytes)}; {_bytes(fmean(found.steps_bytes))} of steps beside it, "
        "which may be removed",
    ]


def _published(dataset: Dataset, config: PreprocessConfig, sweeps: int) -> Size | None:
    """Size of the data set as its owners publish it, of sequences of equal length; None where all of it is here."""
    known = find_layout(dataset.name).published
    if known is None or sweeps >= known[1]:
        return None
    sequences, total = known
    return size_of([total * (k + 1) // sequences - total * k // sequences for k in range(sequences)], config.window)


def _input_bytes(plan: Plan) -> int:
    files = {
        file
        for job in plan.jobs
        for index in range(job.sweeps)
        for file in plan.dataset.input_files(job.sequence, index)
    }
    return sum(file.stat().st_size for file in files)


def _told(size: Size) -> str:
    return f"sequences {size.sequences:,}, sweeps {size.sweeps:,}, windows {size.windows:,}, blocks {size.blocks:,}"


def _spread(values: Sequence[float], told: Callable[[float], str]) -> str:
    """Mean, and the range where there is one to tell."""
    low, high = told(min(values)), told(max(values))
    return told(fmean(values)) + (f" ({low} to {high} by stretch)" if low != high else "")


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _bytes(size: float) -> str:
    unit, name = next((pair for pair in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")) if size >= pair[0]), (1e3, "kB"))
    return f"{size / unit:.{0 if size >= 100 * unit else 1}f} {name}"
