"""The program ``iscc-cache``: the commands that read a cache, and those that compute with Dask."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from iscc_lidar.api.extras import needs
from iscc_lidar.shared.base.cli import (
    KeySets,
    Recipe,
    ShowConfig,
    Workers,
    cores,
    exit_if_shown,
    names_of,
    report_user_errors,
)
from iscc_lidar.shared.base.text import counted
from iscc_lidar.shared.cache_cli import CachePath, app

__all__ = ["app", "audit", "join", "spread", "upgrade"]

LabelFolder = Annotated[
    Path | None, typer.Option(help="folder of the labels (.label files). Default: those in the cache")
]
_SHOWN = 20


@app.command(no_args_is_help=True)
@report_user_errors
def spread(
    path: CachePath,
    out: Annotated[str, typer.Argument(help="folder or URL to write into: new, empty, or written by spread before")],
    labelled: Annotated[
        Path, typer.Option(help="list of the labelled sweeps, SEQUENCE/NAME per line, as iscc-cache fractions writes")
    ],
    labels: LabelFolder = None,
    workers: Workers = None,
    scheduler: Annotated[str | None, typer.Option(help="address of a running Dask scheduler")] = None,
    recipe: Recipe = None,
    overrides: KeySets = None,
    show_config: ShowConfig = False,
) -> None:
    """Carry the labels of some sweeps to all sweeps of their sequences: a class, a confidence, a source per point.

    What stands is of the class of the nearest labelled point in the world, what moves of its group's. Where the cache
    has labels of other sweeps, the quality is printed and written to OUT/quality.json and quality.png. After an
    interruption run the same command again.

    Examples:

        iscc-cache fractions cache/kitti lists --percent 1

        iscc-cache spread cache/kitti spread/kitti --labelled lists/labels_1.txt

        iscc-cache spread cache/mine spread/mine --labelled labelled.txt --labels annotations
    """
    from iscc_lidar.shared.base.config import resolve

    with needs("preprocess"):
        from iscc_lidar.preprocess.spread.rule import SpreadConfig

        config = resolve(SpreadConfig, recipe, overrides or ())
        exit_if_shown(show_config, config)
        from iscc_lidar.api.spreading import report_quality, spread_list

        found = spread_list(path, out, labelled, labels, config, cores() if workers is None else workers, scheduler)
    print(report_quality(found), end="")


@app.command(no_args_is_help=True)
@report_user_errors
def upgrade(
    path: CachePath,
    workers: Workers = None,
    scheduler: Annotated[str | None, typer.Option(help="address of a running Dask scheduler")] = None,
) -> None:
    """Add to a cache of an earlier minor version what it lacks: 2.1 has boxes of the groups.

    Labels, ids and all other files stay as they are. Readers of 2.0 still read it. After an interruption run the same
    command again.

    Example:

        iscc-cache upgrade cache/waymo
    """
    from iscc_lidar.shared.store.open import open_store

    with needs("preprocess"):
        from iscc_lidar.preprocess.run.executor import Executor
        from iscc_lidar.preprocess.run.upgrade import upgrade_cache

        added = upgrade_cache(open_store(path), Executor(cores() if workers is None else workers, scheduler))
    done = f"boxes added to the groups of {counted(added, 'sequence')}" if added else "lacks nothing"
    print(f"{path}: {done}")


@app.command(no_args_is_help=True)
@report_user_errors
def join(
    labels: Annotated[str, typer.Argument(help="folder or URL of labels without points: export --to labels-only")],
    root: Annotated[Path, typer.Argument(help="folder of the raw files, as for iscc-preprocess")],
    out: Annotated[str, typer.Argument(help="folder or URL of the cache: new, empty, or of an interrupted join")],
    sequences: Annotated[str | None, typer.Option(help="only these sequences: names, separated by commas")] = None,
    data: Annotated[
        list[str] | None, typer.Option("--data", help="key=value, an option of the dataset; may be repeated")
    ] = None,
    poses: Annotated[
        str | None, typer.Option(help="as of iscc-preprocess run; needed only where points are deskewed by poses")
    ] = None,
    workers: Workers = None,
    scheduler: Annotated[str | None, typer.Option(help="address of a running Dask scheduler")] = None,
) -> None:
    """Make a cache of labels without points and the raw files that they are of.

    It is the cache that was exported: with the same versions of NumPy, Zarr and PyArrow the same files, to the byte. A
    raw sweep with other points than those that were labelled is an error. After an interruption run the same command
    again.

    Example:

        iscc-cache join labels /data/semantickitti cache/kitti
    """
    from iscc_lidar.shared.cache.labels_only import LabelsOnly
    from iscc_lidar.shared.store.open import open_store

    opened = LabelsOnly(labels)
    with needs("preprocess"):
        from iscc_lidar.api.dataset_sweeps import posed
        from iscc_lidar.preprocess.datasets.registry import with_options
        from iscc_lidar.preprocess.odometry.prepare import settle
        from iscc_lidar.preprocess.plan.select import find_dataset, select_sequences
        from iscc_lidar.preprocess.run.executor import Executor
        from iscc_lidar.preprocess.run.join import join_labels

        dataset = settle(with_options(find_dataset(opened.manifest.cache.dataset, root), data or ()))
        chosen = names_of(sequences) or [entry.name for entry in opened.manifest.cache.sequences]
        dataset = posed(dataset, poses, out, select_sequences(dataset, chosen))
        executor = Executor(cores() if workers is None else workers, scheduler)
        made = join_labels(opened, dataset, open_store(out), executor, chosen)
    print(f"cache: {out} ({counted(len(made.sequences), 'sequence')})")


@app.command(no_args_is_help=True)
@report_user_errors
def audit(
    path: CachePath,
    out: Annotated[Path, typer.Argument(help="folder to write into: new, empty, or written by audit before")],
    labels: LabelFolder = None,
    sequences: Annotated[str | None, typer.Option(help="only these sequences: names, separated by commas")] = None,
    pictures: Annotated[int, typer.Option(help="of how many findings to draw a picture", min=0)] = 20,
) -> None:
    """List likely label errors, the worst first: where the labels and the groups of a cache disagree.

    A group is of another class in some sweeps; a part of it is of another class; groups that look like it are. Writes
    OUT/findings.csv and pictures OUT/001.png, ...; prints the first twenty.

    Examples:

        iscc-cache audit cache/kitti audit/kitti

        iscc-cache audit cache/mine audit/mine --labels annotations --pictures 50
    """
    from iscc_lidar.shared.base.own import own_folder
    from iscc_lidar.shared.cache.reader import Cache
    from iscc_lidar.shared.layouts.formats.label_files import LabelSource, open_label_files

    with needs("preprocess"):
        from iscc_lidar.preprocess.audit.run import audit, describe, write_findings

    folder, cache = own_folder(out, "findings"), Cache(path)
    given = LabelSource(cache, None if labels is None else open_label_files(labels, cache.manifest.class_names))
    chosen = names_of(sequences)
    found = audit(given, cache.sequence_names if chosen is None else chosen)
    write_findings(given, found, folder, pictures)
    for rank, (sequence, finding) in enumerate(found[:_SHOWN], start=1):
        print(f"{rank:3d} {describe(given, sequence, finding)}")
    print(f"findings: {out / 'findings.csv'} ({len(found)})")


if __name__ == "__main__":
    app()
