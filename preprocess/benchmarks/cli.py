"""The command that measures the offline stage: ``iscc-preprocess bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from iscc_lidar.preprocess.benchmarks.bench import bench_adapters, bench_full_waymo, bench_groups, bench_synth
from iscc_lidar.preprocess.datasets import registry
from iscc_lidar.shared.bench_file import BENCH_FILE
from iscc_lidar.shared.cli_errors import friendly
from iscc_lidar.shared.errors import UserError


@friendly
def bench(
    streets: Annotated[Path, typer.Argument(help="synthetic streets, made by: iscc-preprocess synth")],
    out: Annotated[Path, typer.Option(help="folder of bench.json")],
    real: Annotated[Path | None, typer.Option(help="instance-labelled real sweeps, SemanticKITTI layout")] = None,
    plain: Annotated[bool, typer.Option(help="also run plain hdbscan on all points, minutes a window")] = True,
    adapters: Annotated[
        list[str] | None, typer.Option("--adapter", help="NAME=ROOT of a data set to time; may be repeated")
    ] = None,
) -> None:
    """Time the simulation and the adapters; score the groups beside other methods, simulated and real streets.

    Example:

        iscc-preprocess bench data/synthetic --real data/semantickitti --adapter waymo=data/waymo --out runs/bench
    """
    roots = [("synthetic", streets), *(_adapter(text) for text in adapters or ())]
    for name, root in roots:
        if not root.is_dir():
            print(f"nothing at {root}: reading {name} is not timed")
    bench_synth(out)
    bench_adapters(out, [(name, root) for name, root in roots if root.is_dir()])
    bench_full_waymo(out)
    bench_groups(out, "synthetic", streets, sequences=3, plain=plain)
    if real is None or not real.is_dir():
        print(f"\nno instance-labelled real sweeps at {real}: groups on real streets are not scored")
    else:
        bench_groups(out, "real", real, sequences=1, plain=plain)
    print(f"\nfigures: {out / BENCH_FILE}")


def _adapter(text: str) -> tuple[str, Path]:
    name, _, root = text.partition("=")
    if name not in registry.names() or not root:
        raise UserError(f"--adapter {text}: expected NAME=ROOT with a data set's name ({', '.join(registry.names())})")
    return name, Path(root)
