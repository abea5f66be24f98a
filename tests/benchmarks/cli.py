"""Command line of the benchmarks: one command for preprocessing, one for training, one for the sparse engines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from iscc_lidar.shared.base.cli import KeySets, Sets, ShowConfig, exit_if_shown, report_user_errors
from iscc_lidar.shared.base.config import resolve
from iscc_lidar.shared.base.errors import UserError

from benchmarks.bench_file import BENCH_FILE

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Benchmarks of iscc-lidar, printed as tables; the figures also go to OUT/bench.json.",
)

Out = Annotated[Path, typer.Option(help="folder of bench.json")]


@app.command()
@report_user_errors
def preprocess(
    streets: Annotated[Path, typer.Argument(help="synthetic sequences, written by: iscc-preprocess synth")],
    out: Out,
    real: Annotated[Path | None, typer.Option(help="instance-labelled real sweeps, SemanticKITTI layout")] = None,
    plain: Annotated[
        bool, typer.Option(help="also run plain hdbscan on all points, which takes minutes per window")
    ] = True,
    long_sweeps: Annotated[int, typer.Option(min=0, help="sweeps of a long real sequence; 0 = none")] = 2000,
    adapters: Annotated[
        list[str] | None, typer.Option("--adapter", help="NAME=ROOT of a dataset to time; may be repeated")
    ] = None,
) -> None:
    """Time simulation, adapters and the whole of preprocessing; score the groups and those of other methods.

    Example:

        python tests/benchmarks preprocess data/synthetic --real data/semantickitti --out runs/bench
    """
    from benchmarks.preprocess.bench import bench_preprocessing

    bench_preprocessing(out, streets, real, [_adapter(text) for text in adapters or ()], plain, long_sweeps)
    typer.echo(f"\nfigures: {out / BENCH_FILE}")


@app.command()
@report_user_errors
def groups(
    cache: Annotated[Path, typer.Argument(help="a cache made by iscc-preprocess")],
    root: Annotated[Path, typer.Argument(help="its dataset: instance-labelled, SemanticKITTI layout")],
    out: Out,
    sequences: Annotated[str | None, typer.Option(help="only these, separated by commas")] = None,
    sweeps: Annotated[str, typer.Option(help="only these of each sequence: FIRST:END, from 0")] = ":",
) -> None:
    """Score the groups of a cache against labelled instances: every labelled point of an object counts.

    Example:

        python tests/benchmarks groups cache/pandaset data/pandaset --out runs/bench --sweeps 0:25
    """
    from iscc_lidar.preprocess.datasets.registry import open_dataset
    from iscc_lidar.shared.base.cli import names_of
    from iscc_lidar.shared.cache.reader import Cache
    from iscc_lidar.shared.layouts.semantickitti import LAYOUT

    from benchmarks.bench_file import add_figures
    from benchmarks.preprocess.label_scores import read_labelled, score_labels, score_table
    from benchmarks.preprocess.object_metrics import read_motion

    reader, dataset, rows = Cache(cache), open_dataset("semantickitti", root), {}
    for sequence in names_of(sequences) or reader.sequence_names:
        chosen = range(len(dataset.sweep_names(sequence)))[_slice(sweeps)]
        points = read_labelled(reader, dataset, sequence, chosen)
        motion = read_motion(root / "sequences" / sequence)
        rows[sequence] = score_labels(points, dataset.class_names, motion, LAYOUT.ground_classes)
        add_figures(out, f"labels.{root.name}.{sequence}", rows[sequence].figures)
    typer.echo(score_table(rows))
    typer.echo(f"\nfigures: {out / BENCH_FILE}")


@app.command()
@report_user_errors
def streets(
    work: Annotated[Path, typer.Argument(help="folder for streets and caches; what is there is kept")],
    out: Out,
    workers: Annotated[int, typer.Option(min=0, help="processes")] = 2,
) -> None:
    """Score groups on simulated streets that are hard, by kind of object and sensor, and say why objects are missed.

    Example:

        python tests/benchmarks streets build/streets --out runs/bench
    """
    from benchmarks.bench_file import add_figures
    from benchmarks.preprocess.street_kinds import bench_street_kinds

    figures, table = bench_street_kinds(work, workers)
    add_figures(out, "streets", figures)
    typer.echo(table)
    typer.echo(f"\nfigures: {out / BENCH_FILE}")


@app.command()
@report_user_errors
def boxes(
    root: Annotated[Path, typer.Argument(help="dataset: instance-labelled, SemanticKITTI layout, one sequence")],
    labelled: Annotated[Path, typer.Argument(help="its labelled boxes: KITTI object layout, one frame per sweep")],
    out: Out,
    plain: Annotated[bool, typer.Option(help="also fit boxes to plain hdbscan's groups: a minute per window")] = True,
) -> None:
    """Score the boxes that are put around groups against labelled ones, seen from above, without classes.

    Example:

        python tests/benchmarks boxes data/pandaset data/pandaset_boxes --out runs/bench --no-plain
    """
    from iscc_lidar.preprocess.datasets.registry import open_dataset

    from benchmarks.bench_file import add_figures
    from benchmarks.preprocess.box_quality import bench_box_quality

    sequence = open_dataset("semantickitti", root).sequences()[0]
    figures, table = bench_box_quality(root, sequence, labelled, plain)
    add_figures(out, f"boxes.{root.name}.{sequence}", figures)
    typer.echo(table)
    typer.echo(f"\nfigures: {out / BENCH_FILE}")


@app.command()
@report_user_errors
def train(
    cache: Annotated[str, typer.Option(help="a cache made by iscc-preprocess")],
    out: Out,
    recipe: Annotated[
        list[str] | None, typer.Option("--recipe", help="name or TOML file of a recipe; later ones override earlier")
    ] = None,
    set_: Sets = None,
    steps: Annotated[int, typer.Option(help="timed steps", min=1)] = 8,
) -> None:
    """Time the sparse engine and its matrix products alone, the loader, the training step, the detection score.

    Example:

        python tests/benchmarks train --cache cache/synthetic --out runs/bench --recipe quick
    """
    from iscc_lidar.trainer.pretrain.recipe import find_recipes, resolve_pretrain

    from benchmarks.trainer.bench import bench_training

    bench_training(out, resolve_pretrain(find_recipes(recipe or ()), set_ or ()), cache, steps)
    typer.echo(f"\nfigures: {out / BENCH_FILE}")


@app.command()
@report_user_errors
def engines(
    out: Out,
    cache: Annotated[str | None, typer.Option(help="measure on its sweeps; default: random voxels")] = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="where to measure")] = "auto",
    set_: KeySets = None,
    show_config: ShowConfig = False,
) -> None:
    """Compare the sparse engines of this machine at full width: times, memory, shares of what the device can do.

    Exit status 1 where outputs in fp32 differ by more than 1e-4.

    Example:

        python tests/benchmarks engines --cache cache/semantickitti --out runs/bench --set batch_sizes=[2,4]
    """
    from iscc_lidar.trainer.hardware.device import pick_device

    from benchmarks.trainer.compare_engines import EngineBenchConfig, bench_engines

    config = resolve(EngineBenchConfig, None, set_ or ())
    exit_if_shown(show_config, config)
    agree = bench_engines(out, config, cache, pick_device(device))
    typer.echo(f"\nfigures: {out / BENCH_FILE}")
    raise typer.Exit(0 if agree else 1)


def _slice(text: str) -> slice:
    first, _, end = text.partition(":")
    if not all(number == "" or number.isdecimal() for number in (first, end)):
        raise UserError(f"--sweeps {text}: expected FIRST:END, for example 0:25")
    return slice(int(first or 0), int(end) if end else None)


def _adapter(text: str) -> tuple[str, Path]:
    from iscc_lidar.preprocess.datasets import registry

    name, _, root = text.partition("=")
    if name not in registry.names() or not root:
        raise UserError(f"--adapter {text}: expected NAME=ROOT with NAME one of {', '.join(registry.names())}")
    return name, Path(root)
