"""What ``iscc-preprocess bench`` measures: the groups, on simulated and on real instance-labelled streets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from iscc_lidar.preprocess.benchmarks.group_quality import bench_group_quality
from iscc_lidar.preprocess.datasets.registry import open_dataset
from iscc_lidar.shared.bench_file import add_figures

_STARTS = (0, 8, 20, 32, 40)
_PLAIN_STARTS = (0, 20)  # windows on which the slowest opponent, minutes each, runs as well


def bench_groups(out: Path, prefix: str, root: Path, sequences: int, plain: bool) -> None:
    """Score the groups of a data set's first sequences, print the tables and add the figures to bench.json."""
    for sequence in open_dataset("semantickitti", root).sequences()[:sequences]:
        starts: Sequence[int] = _PLAIN_STARTS if plain else ()
        figures, table = bench_group_quality(root, sequence, _STARTS, starts)
        print(f"\ngroups: {root}, sequence {sequence}\n{table}", flush=True)
        add_figures(out, f"groups.{prefix}.{sequence}", figures)
