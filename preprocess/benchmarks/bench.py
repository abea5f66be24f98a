"""What ``iscc-preprocess bench`` measures: simulation, adapters, and groups on simulated and real streets."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from iscc_lidar.preprocess.benchmarks.adapters import adapter_table, bench_adapter
from iscc_lidar.preprocess.benchmarks.group_quality import bench_group_quality
from iscc_lidar.preprocess.benchmarks.waymo_full_size import write_full_size
from iscc_lidar.preprocess.benchmarks.whole_stage import bench_length, bench_stage, bench_workers, stage_table
from iscc_lidar.preprocess.datasets.registry import open_dataset
from iscc_lidar.preprocess.estimate.peak_memory import peak_bytes
from iscc_lidar.preprocess.plan.alignment import measure_alignment
from iscc_lidar.preprocess.segment.windows import WindowConfig
from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.sensor import sweep
from iscc_lidar.preprocess.synthetic.street import build_street
from iscc_lidar.shared.base.bench_file import add_figures

_TIMED_SWEEPS = 5
_STARTS = (0, 8, 20, 32, 40)
_PLAIN_STARTS = (0, 20)  # windows on which the slowest opponent, minutes each, runs as well


def bench_synth(out: Path) -> None:
    """Time the simulation of full sweeps on one core."""
    config = SynthConfig()
    street = build_street(config, 0)
    sweep(street, config, 0, 0)
    began = time.process_time()
    for number in range(1, 1 + _TIMED_SWEEPS):
        sweep(street, config, 0, number)
    seconds = (time.process_time() - began) / _TIMED_SWEEPS
    print(f"simulated sweep of {config.beams} x {config.columns}: {seconds:.3f} CPU s")
    add_figures(out, "synth", {"cpu_s_a_sweep": seconds})


def bench_adapters(out: Path, roots: Sequence[tuple[str, Path]]) -> None:
    """Time reading beside the bytes alone, and tell how well successive sweeps line up, for data sets by name."""
    rows = {}
    for name, root in roots:
        dataset = open_dataset(name, root)
        longest = max(dataset.sequences(), key=lambda sequence: len(dataset.sweep_names(sequence)))
        rows[f"{name} {root.name}"] = bench_adapter(dataset, [longest]) | measure_alignment(dataset, longest)
    print(
        f"\nreading, one process; share of points within 10 cm of the sweep before\n{adapter_table(rows)}", flush=True
    )
    for row, figures in rows.items():
        add_figures(out, f"adapters.{row.replace(' ', '.')}", figures)


def bench_full_waymo(out: Path) -> None:
    """Read a made-up Waymo context of official size, 200 frames of five LiDARs, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(1, get_context("spawn")) as process:
        root = Path(folder)
        write_full_size(root)
        figures = process.submit(_read_and_weigh, root).result()
    print(f"\nWaymo context of official size: {adapter_table({'waymo': figures})}")
    print(f"peak memory {figures['peak_mb']:.0f} MB, before reading {figures['idle_mb']:.0f} MB", flush=True)
    add_figures(out, "waymo_full_size", figures)


def _read_and_weigh(root: Path) -> dict[str, float]:
    idle_mb = peak_bytes() / 1e6
    figures = bench_adapter(open_dataset("waymo", root))
    return figures | {"idle_mb": idle_mb, "peak_mb": peak_bytes() / 1e6}


def bench_groups(out: Path, prefix: str, root: Path, sequences: int, plain: bool) -> list[float]:
    """Score the groups of a data set's first sequences, print the tables and add the figures to bench.json.

    Returns:
        CPU seconds of plain hdbscan on each window that it ran on.
    """
    plain_s = []
    for sequence in open_dataset("semantickitti", root).sequences()[:sequences]:
        starts: Sequence[int] = _PLAIN_STARTS if plain else ()
        figures, table = bench_group_quality(root, sequence, _STARTS, starts)
        print(f"\ngroups: {root}, sequence {sequence}\n{table}", flush=True)
        add_figures(out, f"groups.{prefix}.{sequence}", figures)
        plain_s += [v for k, v in figures.items() if k.startswith("plain_hdbscan.w") and k.endswith(".cpu_s")]
    return plain_s


def bench_whole_stage(out: Path, streets: Path, real: Path | None, plain_s: Sequence[float], long_sweeps: int) -> None:
    """Measure the whole stage on data sets in SemanticKITTI's layout, and the real one beside plain hdbscan.

    Args:
        out: folder of bench.json.
        streets: synthetic streets.
        real: real sweeps; without them there are no figures of workers, length and plain hdbscan.
        plain_s: CPU seconds a window of plain hdbscan on the real ones, in this same run.
        long_sweeps: sweeps of a long sequence, 0 for none.
    """
    roots = [root for root in (real, streets) if root is not None]
    rows = {root.name: bench_stage(root) for root in roots}
    if real is not None and plain_s:
        plain_a_sweep = sum(plain_s) / len(plain_s) / WindowConfig().stride
        rows[real.name] |= {"plain_hdbscan_times": plain_a_sweep / rows[real.name]["cpu_s_a_sweep"]}
    print(f"\nthe whole stage\n{stage_table(rows)}", flush=True)
    for name, figures in rows.items():
        add_figures(out, f"stage.{name}", figures)
    if real is None:
        return
    workers = bench_workers(real)
    print(f"\none worker {workers['one_s']:.1f} s, two {workers['two_s']:.1f} s: {workers['two_times_one']:.2f} times")
    add_figures(out, "workers", workers)
    if long_sweeps:
        length = bench_length(real, long_sweeps)
        print("\n".join(f"sweeps in one sequence: {k:24}{v:10.3f}" for k, v in length.items()), flush=True)
        add_figures(out, "length", length)
