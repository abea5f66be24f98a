"""``iscc-train reproduce``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from iscc_lidar.shared.base.cli_errors import report_user_errors
from iscc_lidar.shared.base.config import find_shipped, resolve, to_toml
from iscc_lidar.shared.base.errors import UserError


@report_user_errors
def reproduce(
    cache: Annotated[
        list[str] | None,
        typer.Option(
            help="training sweeps, NAME=PATH: standard; ground_kept, single_sweep for rows that need them; labelled "
            "where labels are of another cache"
        ),
    ] = None,
    test_cache: Annotated[str | None, typer.Option(help="sweeps that score, with labels")] = None,
    out: Annotated[
        Path | None, typer.Option(help="folder for runs, results.csv, detection.csv, tables.md, index.html")
    ] = None,
    preset: Annotated[str, typer.Option(help="quick, detection, full, or a TOML file")] = "quick",
    set_: Annotated[list[str] | None, typer.Option("--set", help="key=value; may be repeated")] = None,
    train_list: Annotated[Path | None, typer.Option(help="only these training sweeps may be labelled")] = None,
    test_list: Annotated[Path | None, typer.Option(help="only these sweeps are scored")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="list what is left to do, and stop")] = False,
    show_config: Annotated[bool, typer.Option("--show-config", help="print the options, and stop")] = False,
) -> None:
    """Make the paper's tables: pre-train, fine-tune and score every row over seeds.

    What is done stays done: after an interruption, or with more rows, fractions or seeds, the same command goes on.

    Examples:

        iscc-train reproduce --cache standard=cache/train --test-cache cache/test --out runs/reproduce

        iscc-train reproduce --cache standard=cache/kitti-train --test-cache cache/kitti-val --out runs/kitti
        --preset full --set rows=[scratch,iscc]
    """
    from iscc_lidar.trainer.reproduce.config import ReproduceConfig
    from iscc_lidar.trainer.reproduce.plan import Caches
    from iscc_lidar.trainer.reproduce.reproduce import PRESETS, left_to_do
    from iscc_lidar.trainer.reproduce.reproduce import reproduce as run

    config = resolve(ReproduceConfig, find_shipped(PRESETS, preset, "preset"), set_ or ())
    if show_config:
        typer.echo(to_toml(config), nl=False)
        return
    if not cache or test_cache is None or out is None:
        raise typer.BadParameter("--cache, --test-cache and --out are all needed")
    caches = Caches(dict(_named(text) for text in cache), test_cache, train_list, test_list)
    if dry_run:
        jobs = left_to_do(config, caches, out)
        typer.echo("\n".join([*(f"iscc-train {' '.join(job.arguments)}" for job in jobs), f"left to do: {len(jobs)}"]))
        return
    typer.echo(run(config, caches, out), nl=False)
    typer.echo(f"page: {out / 'index.html'}, every run: results.csv and detection.csv beside it")


def _named(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise UserError(f"--cache {text}: expected NAME=PATH, for example standard=cache/train")
    return name, path
