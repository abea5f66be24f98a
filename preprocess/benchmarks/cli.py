"""The command that measures the offline stage: ``iscc-preprocess bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from iscc_lidar.preprocess.benchmarks.bench import (
    bench_adapters,
    bench_full_waymo,
    bench_groups,
    bench_synth,
    bench_whole_stage,
)
from iscc_lidar.preprocess.datasets import registry
from iscc_lidar.shared.base.bench_file import BENCH_FILE
from iscc_lidar.shared.base.cli_errors import report_user_errors
from iscc_lidar.shared.base.errors import UserError


@report_user_errors
def bench(
    streets: Annotated[Path, typer.Argument(help="synthetic streets, made by: iscc-preprocess synth")],
    out: Annotated[Path, typer.Option(help="folder of bench.json")],
    real: Annotated[Path | None, typer.Option(help="instance-labelled real sweeps, SemanticKITTI layout")] = None,
    plain: Annotated[bool, typer.Option(help="also run plain hdbscan on all points, minutes a window")] = True,
    long_sweeps: Annotated[int, typer.Option(min=0, help="sweeps of a long real sequence; 0 = none")] = 2000,
    adapters: Annotated[
        list[str] | None, typer.Option("--adapter", help="NAME=ROOT of a data set to time; may be repeated")
    ] = None,
) -> None:
    """Time the simulation, the adapters and the whole stage; score the groups beside other methods.

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
    found = real if real is not None and real.is_dir() else None
    if found is None:
        print(f"\nno instance-labelled real sweeps at {real}: real streets are neither scored nor timed")
    plain_s = bench_groups(out, "real", found, sequences=1, plain=plain) if found else []
    bench_whole_stage(out, streets, found, plain_s, long_sweeps)
    print(f"\nfigures: {out / BENCH_FILE}")


def _adapter(text: str) -> tuple[str, Path]:
    name, _, root = text.partition("=")
    if name not in registry.names() or not root:
        raise UserError(f"--adapter {text}: expected NAME=ROOT with a data set's name ({', '.join(registry.names())})")
    return name, Path(root)
