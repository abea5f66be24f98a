"""Command line of preprocessing: ``iscc-preprocess``.

Each command imports what it needs when it runs, so that ``--help`` and ``datasets`` start at once.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from iscc_lidar.shared.base.cli import (
    Command,
    Recipe,
    Sets,
    ShowConfig,
    Workers,
    cores,
    exit_if_shown,
    names_of,
    new_program,
    report_user_errors,
)
from iscc_lidar.shared.base.config import resolve
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.text import counted
from iscc_lidar.shared.layouts.layout import find_layout

if TYPE_CHECKING:
    from iscc_lidar.data_schemas.manifest import Manifest
    from iscc_lidar.preprocess.datasets.registry import Dataset
    from iscc_lidar.shared.store.store import Store

_ALIGNED_SEQUENCES = 3
_SHOWN_SKIPPED = 20

app = new_program("Turn raw LiDAR sweeps into a cache of point groups and occupancy queries.")

DatasetName = Annotated[str, typer.Argument(help="name of the dataset, see: iscc-preprocess datasets")]
Root = Annotated[
    Path | None,
    typer.Option(help="folder of the dataset. Default: $ISCC_DATASET_ROOT, as in $ISCC_WAYMO_ROOT, else data/DATASET"),
]
Data = Annotated[
    list[str] | None, typer.Option("--data", help="key=value of the dataset's own options; may be repeated")
]
Poses = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|FOLDER|odometry",
        help="poses of the LiDAR in KITTI's or TUM's format, in a folder SEQUENCE.txt or .tum; odometry = compute them "
        "with KISS-ICP. Default: the dataset's own, odometry for a folder without any",
    ),
]
Split = Annotated[str | None, typer.Option(help="only this official split: train, val, ...")]
Sequences = Annotated[str | None, typer.Option(help="only these sequences: names, separated by commas")]
CacheAt = Annotated[str | None, typer.Option("--cache", help="folder or URL of the cache. Default: cache/DATASET")]
OnErrorOption = Annotated[
    Literal["stop", "skip"],
    typer.Option("--on-error", help="skip: leave out sweeps and sequences that cannot be processed, and list them"),
]
AcceptContent = Annotated[
    bool,
    typer.Option("--accept-content", help="process data even where check calls what some sweeps contain an error"),
]


@app.command(cls=Command)
@report_user_errors
def run(
    dataset: DatasetName,
    root: Root = None,
    data: Data = None,
    poses: Poses = None,
    cache: CacheAt = None,
    split: Split = None,
    sequences: Sequences = None,
    on_error: OnErrorOption = "stop",
    accept_content: AcceptContent = False,
    part: Annotated[str | None, typer.Option(help="only this part of a cache prepared by init, as in 3/16")] = None,
    workers: Workers = None,
    scheduler: Annotated[str | None, typer.Option(help="address of a running Dask scheduler")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="process samples, report the estimated cost of all of it; write nothing")
    ] = False,
    recipe: Recipe = None,
    overrides: Sets = None,
    show_config: ShowConfig = False,
) -> None:
    """Make, complete or update the cache of a dataset.

    Results that were made from the same input with the same options are kept: after an interruption the same command
    continues. Exit status 3 if sweeps or sequences were skipped.

    Examples:

        iscc-preprocess run synthetic

        iscc-preprocess run semantickitti --root data/semantickitti --cache cache/semantickitti

        iscc-preprocess run semantickitti --dry-run

        iscc-preprocess run semantickitti --split train --workers 16 --on-error skip

        iscc-preprocess run semantickitti --sequences 00,08

        iscc-preprocess run waymo --data second_return=true

        iscc-preprocess run folder --root recordings --cache cache/mine --poses odometry

        iscc-preprocess run semantickitti --set window.sweeps=8 --set clustering.voxel_size_m=0.2 --workers 0

        iscc-preprocess run semantickitti --cache s3://bucket/kitti --part 3/16
    """
    from iscc_lidar.preprocess.config import PreprocessConfig

    config = resolve(PreprocessConfig, recipe, overrides or ())
    exit_if_shown(show_config, config)
    from iscc_lidar.preprocess.odometry.prepare import prepare
    from iscc_lidar.preprocess.plan.select import select_sequences
    from iscc_lidar.preprocess.run.executor import Executor
    from iscc_lidar.preprocess.run.pipeline import preprocess, process_part
    from iscc_lidar.preprocess.segment.clustering import why_slow

    source, store = _open(dataset, root, data, cache)
    if slow := why_slow(config.clustering):
        print(slow, file=sys.stderr)
    executor = Executor(cores() if workers is None else workers, scheduler)
    if part is not None:
        source = prepare(source, poses, store.url, (), quiet=True)
        if split or sequences:
            raise UserError("--part: --split and --sequences are options of init, not of its parts")
        done = process_part(source, store, config, executor, _part(part), on_error)
        then = f"after all parts run: iscc-preprocess finalise {dataset}"
        print(f"part {part} of {store.url}: {counted(done, 'sequence')}; {then}")
        return
    chosen = select_sequences(source, names_of(sequences), split)
    _note_splits(source, chosen, split or sequences)
    source = prepare(source, poses, store.url, chosen)
    if dry_run:
        from iscc_lidar.preprocess.estimate.report import estimate_report
        from iscc_lidar.preprocess.plan.cache_plan import make_plan

        plan = make_plan(source, store, config, chosen, skip=on_error == "skip", accept_content=accept_content)
        print(estimate_report(plan, executor.workers))
        return
    _report(store, preprocess(source, store, config, executor, chosen, on_error, accept_content))


@app.command()
@report_user_errors
def init(
    dataset: DatasetName,
    root: Root = None,
    data: Data = None,
    poses: Poses = None,
    cache: CacheAt = None,
    split: Split = None,
    sequences: Sequences = None,
    on_error: OnErrorOption = "stop",
    accept_content: AcceptContent = False,
    recipe: Recipe = None,
    overrides: Sets = None,
) -> None:
    """Prepare a cache whose parts are processed by any scheduler: check the data and write the plan.

    Examples:

        iscc-preprocess init semantickitti --cache cache/kitti

        iscc-preprocess run semantickitti --cache cache/kitti --part $SLURM_ARRAY_TASK_ID/16 --workers 8

        iscc-preprocess finalise semantickitti --cache cache/kitti
    """
    from iscc_lidar.preprocess.config import PreprocessConfig
    from iscc_lidar.preprocess.odometry.prepare import prepare
    from iscc_lidar.preprocess.plan.select import select_sequences
    from iscc_lidar.preprocess.run.pipeline import init_cache

    source, store = _open(dataset, root, data, cache)
    chosen = select_sequences(source, names_of(sequences), split)
    _note_splits(source, chosen, split or sequences)
    source = prepare(source, poses, store.url, chosen)
    config = resolve(PreprocessConfig, recipe, overrides or ())
    plan = init_cache(source, store, config, chosen, on_error, accept_content)
    then = f"now: iscc-preprocess run {dataset} ... --part 1/2"
    print(f"initialised: {store.url} ({counted(len(plan.jobs), 'sequence')}); {then}")


@app.command()
@report_user_errors
def finalise(
    dataset: DatasetName,
    root: Root = None,
    data: Data = None,
    poses: Poses = None,
    cache: CacheAt = None,
    recipe: Recipe = None,
    overrides: Sets = None,
) -> None:
    """Finish a cache after all its parts are processed, or report what is missing. Options as of init.

    Example:

        iscc-preprocess finalise semantickitti --cache cache/kitti
    """
    from iscc_lidar.preprocess.config import PreprocessConfig
    from iscc_lidar.preprocess.odometry.prepare import prepare
    from iscc_lidar.preprocess.run.pipeline import finalise_cache

    source, store = _open(dataset, root, data, cache)
    source = prepare(source, poses, store.url, (), quiet=True)
    _report(store, finalise_cache(source, store, resolve(PreprocessConfig, recipe, overrides or ())))


@app.command()
@report_user_errors
def check(
    dataset: DatasetName,
    folder: Annotated[Path | None, typer.Argument(metavar="[ROOT]", help="folder of the dataset, as --root")] = None,
    root: Root = None,
    data: Data = None,
    poses: Poses = None,
    split: Split = None,
    sequences: Sequences = None,
    every_sweep: Annotated[
        bool, typer.Option("--every-sweep", help="read every sweep of every sequence, not only some; takes long")
    ] = False,
) -> None:
    """Check a dataset before preprocessing: list all problems that would stop it or spoil the result.

    Checks names, sizes, tables and file headers of all sweeps. Then it reads up to three pairs of successive sweeps of
    each sequence (of at most 60 sequences), and judges their points, intensity, labels and poses: if the poses are
    right, more points lie within 10 cm of a surface of the previous sweep with them than without; where the vehicle
    hardly moves both are the same and prove nothing. Exit status 1 if there is a problem; warnings alone are none.

    Example:

        iscc-preprocess check semantickitti data/semantickitti
    """
    from iscc_lidar.preprocess.odometry.prepare import prepare
    from iscc_lidar.preprocess.plan.select import select_sequences

    source = _dataset(dataset, root or folder, data)
    chosen = select_sequences(source, names_of(sequences), split)
    with TemporaryDirectory() as scratch:  # for poses where there are none; a check writes nothing else
        _check(prepare(source, poses, f"{scratch}/cache", chosen), chosen, every_sweep)


def _check(source: Dataset, chosen: tuple[str, ...], every_sweep: bool) -> None:
    """Print what is wrong with some sequences, or that nothing is. Exits with status 1 for a problem."""
    from iscc_lidar.preprocess.plan.alignment import measure_alignment
    from iscc_lidar.preprocess.plan.select import check_data
    from iscc_lidar.shared.base.text import printable

    checked = check_data(source, chosen, every=every_sweep)
    problems = [problem.message for several in checked.problems.values() for problem in several]
    problems += [message for several in checked.spoiling.values() for message in several]
    for message in [*problems, *(f"warning: {warning}" for warning in checked.warnings)]:
        print(printable(message))
    if problems:
        print(f"problems: {len(problems)}, warnings: {len(checked.warnings)}")
        raise typer.Exit(1)
    sizes = {sequence: len(source.sweep_names(sequence)) for sequence in chosen}
    counts = f"sequences: {len(sizes)}, sweeps: {sum(sizes.values())}"
    print(f"no problem; {counts}" + (f", warnings: {len(checked.warnings)}" if checked.warnings else ""))
    if not every_sweep and max(sizes.values(), default=0) > 2:
        print("of each sequence a few sweeps were read: --every-sweep reads all, and finds damage inside their files")
    for sequence in [s for s in chosen if sizes[s] > 1][:_ALIGNED_SEQUENCES]:
        found = measure_alignment(source, sequence, max_pairs=5)
        print(
            f"sequence {sequence}: {found['near_with_poses']:.0%} of points within 10 cm of a surface of the previous "
            f"sweep with poses, {found['near_without']:.0%} without; {found['moved_m']:.2f} m between sweeps"
        )


@app.command()
@report_user_errors
def odometry(
    dataset: DatasetName,
    out: Annotated[Path, typer.Argument(help="folder to write SEQUENCE.tum into")],
    root: Root = None,
    data: Data = None,
    sequences: Sequences = None,
) -> None:
    """Compute the poses of the LiDAR from the sweeps alone, with KISS-ICP, and report how well the sweeps fit by them.

    Poses that are already there and were computed from the same files are kept. ``run`` does the same with
    ``--poses odometry``; this command is for caches in an object store, and to look at poses first.

    Example:

        iscc-preprocess odometry folder poses/mine --root recordings
    """
    from iscc_lidar.preprocess.odometry.prepare import compute_poses, settle
    from iscc_lidar.preprocess.plan.select import select_sequences

    source = settle(_dataset(dataset, root, data))
    chosen = select_sequences(source, names_of(sequences))
    compute_poses(source, out, chosen)
    then = f"to use them: iscc-preprocess run {dataset} --poses {out}"
    print(f"poses: {out} ({counted(len(chosen), 'sequence')}); {then}")


@app.command(cls=Command)
@report_user_errors
def synth(
    out: Annotated[Path, typer.Argument(help="folder to write sequences/NN/... into")],
    workers: Workers = None,
    recipe: Recipe = None,
    overrides: Sets = None,
    show_config: ShowConfig = False,
) -> None:
    """Write procedural sequences in SemanticKITTI's layout, with labels and instances.

    Sequences that are already there with the same options are kept.

    Examples:

        iscc-preprocess synth data/synthetic

        iscc-preprocess synth data/unseen --set synth.sequences=8 --set synth.seed=1
    """
    from iscc_lidar.preprocess.synthetic.generate import SynthCommand, generate

    config = resolve(SynthCommand, recipe, overrides or ())
    exit_if_shown(show_config, config)
    generate(out, config.synth, workers=cores() if workers is None else workers)
    made = counted(config.synth.sequences, "sequence")
    print(f"synthetic data: {out} ({made} of {counted(config.synth.sweeps, 'sweep')})")


@app.command()
@report_user_errors
def datasets() -> None:
    """List the datasets that can be read: their expected layout, and where to get them."""
    from iscc_lidar.preprocess.datasets import registry
    from iscc_lidar.preprocess.plan.select import root_variable

    for name in registry.names():
        print(f"{name:<16}{find_layout(name).description}")
        print(f"{'':<16}{find_layout(name).how_to_get}. Root: --root, ${root_variable(name)} or data/{name}")


def _dataset(name: str, root: Path | None, data: list[str] | None) -> Dataset:
    from iscc_lidar.preprocess.datasets.registry import with_options
    from iscc_lidar.preprocess.plan.select import find_dataset

    return with_options(find_dataset(name, root), data or ())


def _open(name: str, root: Path | None, data: list[str] | None, cache: str | None) -> tuple[Dataset, Store]:
    from iscc_lidar.shared.store.open import open_store

    return _dataset(name, root, data), open_store(cache or f"cache/{name}")


def _note_splits(source: Dataset, chosen: Collection[str], named: str | None) -> None:
    """Report which official splits a cache will contain, unless sequences were named: training may not see them all."""
    from iscc_lidar.preprocess.plan.select import splits_of

    if named is None and len(found := splits_of(source, chosen)) > 1:
        note = f"note: this takes the sequences of all official splits, {', '.join(found)}"
        print(f"{note}; to pre-train without those that score: --split {found[0]}", file=sys.stderr)


def _report(store: Store, manifest: Manifest) -> None:
    """Print what a cache contains. Exits with status 3 if sweeps or sequences were skipped."""
    sweeps = sum(entry.sweeps for entry in manifest.sequences)
    print(
        f"cache: {store.url} (sequences: {len(manifest.sequences)}, sweeps: {sweeps}); to look at it: "
        f"iscc-cache info {store.url}; iscc-cache show {store.url}"
    )
    for skipped in manifest.skipped[:_SHOWN_SKIPPED]:
        print(f"skipped: {skipped.name}: {skipped.reason}", file=sys.stderr)
    if len(manifest.skipped) > _SHOWN_SKIPPED:
        print(f"... and {len(manifest.skipped) - _SHOWN_SKIPPED} more; iscc-cache info lists all", file=sys.stderr)
    if manifest.skipped:
        raise typer.Exit(3)


def _part(text: str) -> tuple[int, int]:
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise UserError(f"--part {text}: expected K/N with K from 1 to N, as in 3/16")
    return int(part), int(parts)
