"""The program ``iscc-cache``: the commands that read a cache, and those that compute with Dask."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from iscc_lidar.api.extras import needs
from iscc_lidar.shared.base.cli import KeySets, Recipe, ShowConfig, Workers, cores, exit_if_shown, report_user_errors
from iscc_lidar.shared.cache_cli import CachePath, app

__all__ = ["app", "spread"]


@app.command(no_args_is_help=True)
@report_user_errors
def spread(
    path: CachePath,
    out: Annotated[str, typer.Argument(help="folder or URL to write into: new, empty, or written by spread before")],
    labelled: Annotated[
        Path, typer.Option(help="list of the labelled sweeps, SEQUENCE/NAME per line, as iscc-cache fractions writes")
    ],
    labels: Annotated[
        Path | None, typer.Option(help="folder of their labels (.label files). Default: those in the cache")
    ] = None,
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
