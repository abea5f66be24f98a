"""Benchmarks of preprocessing: simulation, adapters, the whole stage, and groups of synthetic and real sequences."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from iscc_lidar.preprocess.datasets.registry import open_dataset
from iscc_lidar.preprocess.estimate.costs import peak_bytes
from iscc_lidar.preprocess.plan.alignment import measure_alignment
from iscc_lidar.preprocess.segment.windows import WindowConfig
from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.sensor import elevations, sweep
from iscc_lidar.preprocess.synthetic.street import build_street
from iscc_lidar.shared.base.errors import UserError

from benchmarks.bench_file import add_figures
from benchmarks.preprocess.adapters import adapter_table, bench_adapter
from benchmarks.preprocess.group_quality import bench_group_quality
from benchmarks.preprocess.waymo_full_size import write_full_size
from benchmarks.preprocess.whole_stage import bench_length, bench_stage, bench_workers, stage_table

_TIMED_SWEEPS: Final = 5
_STARTS: Final = (0, 8, 20, 32, 40)
_PLAIN_STARTS: Final = (0, 20)  # windows of the slowest method too, which takes minutes on each


def bench_preprocessing(
    out: Path,
    streets: Path,
    real: Path | None,
    adapters: Sequence[tuple[str, Path]],
    plain: bool,
    long_sweeps: int,
) -> None:
    """Measure all of it, print tables and add the figures to bench.json.

    Args:
        out: folder of bench.json.
        streets: synthetic sequences.
        real: instance-labelled real sweeps in SemanticKITTI's layout; left out where that is no folder.
        adapters: names and roots of datasets to read; those whose root is no folder are left out.
        plain: whether plain hdbscan clusters some windows too.
        long_sweeps: sweeps of a long real sequence, 0 for none.

    Raises:
        UserError: there are no synthetic sequences.
    """
    if not streets.is_dir():
        raise UserError(f"no synthetic sequences at {streets}; write them with: iscc-preprocess synth {streets}")
    for name, root in adapters:
        if not root.is_dir():
            print(f"nothing at {root}: reading {name} is not timed")
    bench_synth(out)
    bench_adapters(out, [("synthetic", streets), *((name, root) for name, root in adapters if root.is_dir())])
    bench_full_waymo(out)
    bench_groups(out, "synthetic", streets, sequences=3, plain=plain)
    found = real if real is not None and real.is_dir() else None
    if found is None:
        print(f"\nno instance-labelled real sweeps at {real}: real sequences are neither scored nor timed")
    plain_s = bench_groups(out, "real", found, sequences=1, plain=plain) if found else []
    bench_whole_stage(out, streets, found, plain_s, long_sweeps)


def bench_synth(out: Path) -> None:
    """Time the simulation of full sweeps on one core."""
    config = SynthConfig()
    street = build_street(config, 0)
    sweep(street, config, 0, 0)
    start = time.process_time()
    for number in range(1, 1 + _TIMED_SWEEPS):
        sweep(street, config, 0, number)
    seconds = (time.process_time() - start) / _TIMED_SWEEPS
    print(f"simulated sweep of {len(elevations(config))} x {config.columns}: {seconds:.3f} CPU s")
    add_figures(out, "synth", {"cpu_s_per_sweep": seconds})


def bench_adapters(out: Path, roots: Sequence[tuple[str, Path]]) -> None:
    """Time reading of each dataset's longest sequence and measure how well its successive sweeps line up."""
    rows = {}
    for name, root in roots:
        dataset = open_dataset(name, root)
        longest = max(dataset.sequences(), key=lambda sequence: len(dataset.sweep_names(sequence)))
        rows[f"{name} {root.name}"] = bench_adapter(dataset, [longest]) | measure_alignment(dataset, longest)
    title = "reading, one process; share of points within 10 cm of a surface of the sweep before"
    print(f"\n{title}\n{adapter_table(rows)}", flush=True)
    for row, figures in rows.items():
        add_figures(out, f"adapters.{row.replace(' ', '.')}", figures)


def bench_full_waymo(out: Path) -> None:
    """Read a synthetic Waymo context of official size, 200 frames of five LiDARs, in a process of its own."""
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
    """Score the groups of a dataset's first sequences, print the tables and add the figures to bench.json.

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
    """Measure the whole stage on datasets in SemanticKITTI's layout, and compare with plain hdbscan on the real one.

    Args:
        out: folder of bench.json.
        streets: synthetic sequences.
        real: real sweeps; without them there are no figures of workers, length and plain hdbscan.
        plain_s: CPU seconds per window of plain hdbscan on the real ones, measured in the same run.
        long_sweeps: sweeps of a long sequence, 0 for none.
    """
    roots = [root for root in (real, streets) if root is not None]
    rows = {root.name: bench_stage(root) for root in roots}
    if real is not None and plain_s:
        plain_per_sweep = sum(plain_s) / len(plain_s) / WindowConfig().stride
        rows[real.name] |= {"plain_hdbscan_times": plain_per_sweep / rows[real.name]["cpu_s_per_sweep"]}
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
