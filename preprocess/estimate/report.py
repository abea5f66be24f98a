"""The text of ``iscc-preprocess run --dry-run``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import Dataset
from iscc_lidar.preprocess.estimate.costs import Cost, Workload, choose_samples, estimate_costs, workload_of
from iscc_lidar.preprocess.plan.cache_plan import Plan
from iscc_lidar.shared.base.provenance import processor
from iscc_lidar.shared.layouts.layout import find_layout


def estimate_report(plan: Plan, workers: int) -> str:
    """Process some samples of a plan and report the estimated cost of all of it, from scratch; writes nothing.

    Raises UserError where a sample cannot be processed.
    """
    counts = [job.sweeps for job in plan.jobs]
    if not sum(counts):
        return "data        no sweeps"
    dataset, config = plan.dataset, plan.config
    samples = choose_samples(dataset, [job.sequence for job in plan.jobs], config.window)
    here, published = workload_of(counts, config.window), _published(dataset, config, sum(counts))
    found, *full = estimate_costs(dataset, samples, config, [here] if published is None else [here, published])
    lengths = sorted({len(sample.sweeps) for sample in samples})
    points = fmean([len(dataset.read(sample.sequence, sample.sweeps.start)) for sample in samples])
    input_bytes = _input_bytes(plan)
    share = fmean(cost.cache_bytes for cost in found) / input_bytes
    lines = [
        f"data        {_counts(here)}; {_bytes(input_bytes)} of files",
        f"measured    samples {len(samples)}, of {' and '.join(map(str, lengths))} sweeps of {points:,.0f} points, "
        f"on one core of {processor() or 'this machine'}",
        *_lines(found, here, workers),
        f"            the cache is {share:.0%} of the files",
        f"memory      {_bytes(max(cost.peak_bytes for cost in found))} per worker, however long a sequence is",
    ]
    if published is not None:
        lines += [
            f"\nall of {dataset.name} as published, if its sweeps are like these: {_counts(published)}",
            *_lines(full[0], published, workers),
        ]
    return "\n".join(lines)


def _lines(found: Sequence[Cost], workload: Workload, workers: int) -> list[str]:
    cpu_s, cache_bytes = [cost.cpu_s for cost in found], [cost.cache_bytes for cost in found]
    cores, sweeps = max(workers, 1), workload.sweeps
    steps_bytes = fmean(cost.steps_bytes for cost in found)
    return [
        f"per sweep   {fmean(cpu_s) / sweeps:.2f} CPU s, {_bytes(fmean(cache_bytes) / sweeps)}",
        f"time        {_spread(cpu_s, _time)} on one core; {_time(fmean(cpu_s) / cores)} on {cores}",
        f"cache       {_spread(cache_bytes, _bytes)}; and {_bytes(steps_bytes)} of intermediate files, which may be "
        "removed",
    ]


def _published(dataset: Dataset, config: PreprocessConfig, sweeps: int) -> Workload | None:
    """Return the workload of the dataset as published, in sequences of equal length; None if all of it is here."""
    known = find_layout(dataset.name).published
    if known is None or sweeps >= known[1]:
        return None
    sequences, total = known
    return workload_of([total * (k + 1) // sequences - total * k // sequences for k in range(sequences)], config.window)


def _input_bytes(plan: Plan) -> int:
    files = {
        file
        for job in plan.jobs
        for index in range(job.sweeps)
        for file in plan.dataset.input_files(job.sequence, index)
    }
    return sum(file.stat().st_size for file in files)


def _counts(workload: Workload) -> str:
    names = ("sequences", "sweeps", "windows", "blocks")
    return ", ".join(f"{name} {getattr(workload, name):,}" for name in names)


def _spread(values: Sequence[float], text: Callable[[float], str]) -> str:
    """Format the mean, and the range unless all values look the same."""
    low, high = text(min(values)), text(max(values))
    return text(fmean(values)) + (f" ({low} to {high} by sample)" if low != high else "")


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _bytes(size: float) -> str:
    unit, name = next((pair for pair in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")) if size >= pair[0]), (1e3, "kB"))
    return f"{size / unit:.{0 if size >= 100 * unit else 1}f} {name}"
