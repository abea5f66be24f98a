"""Command line of reproduction, ``iscc-train reproduce``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from iscc_lidar.shared.base.cli import KeySets, ShowConfig, exit_if_shown, report_user_errors
from iscc_lidar.shared.base.config import find_shipped, resolve
from iscc_lidar.shared.base.errors import UserError


@report_user_errors
def reproduce(
    cache: Annotated[
        list[str],
        typer.Option(
            help="cache of training sweeps, NAME=PATH: standard; ground_kept, single_sweep for the experiments that "
            "need them; labelled if the labels are in another cache. A name that is repeated has several caches, to "
            "pre-train on"
        ),
    ],
    out: Annotated[Path, typer.Option(help="folder for runs, results.csv, detection.csv, tables.md, index.html")],
    test_cache: Annotated[str | None, typer.Option(help="cache with labels to score on; none with streets")] = None,
    preset: Annotated[
        str, typer.Option(help="quick, detection, long, full, public, real, real-full, small, or a TOML file")
    ] = "quick",
    set_: KeySets = None,
    train_list: Annotated[Path | None, typer.Option(help="draw labelled sweeps from this list only")] = None,
    test_list: Annotated[Path | None, typer.Option(help="score only the sweeps of this list")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="list the commands of the remaining jobs, and stop")
    ] = False,
    show_config: ShowConfig = False,
) -> None:
    """Run experiments like the authors': pre-train, fine-tune and score each one over seeds.

    The presets pre-train far shorter than the authors, who took 200 epochs: `full` takes 1,500 steps of 8 pairs, which
    is 0.6 epochs of SemanticKITTI.

    Finished jobs are kept: after an interruption, or with more experiments, fractions or seeds, the same command
    continues.

    Examples:

        iscc-train reproduce --cache standard=cache/train --test-cache cache/test --out runs/reproduce

        iscc-train reproduce --cache standard=cache/kitti-train --test-cache cache/kitti-val --out runs/kitti
        --preset full --set experiments=[scratch,iscc]
    """
    from iscc_lidar.trainer.reproduce.config import ReproduceConfig
    from iscc_lidar.trainer.reproduce.plan import Caches
    from iscc_lidar.trainer.reproduce.reproduce import PRESETS, remaining_jobs
    from iscc_lidar.trainer.reproduce.reproduce import reproduce as run

    config = resolve(ReproduceConfig, find_shipped(PRESETS, preset, "preset"), set_ or ())
    exit_if_shown(show_config, config)
    train: dict[str, list[str]] = {}
    for name, path in map(_named, cache):
        train.setdefault(name, []).append(path)
    caches = Caches(train, test_cache, train_list, test_list)
    if dry_run:
        jobs = remaining_jobs(config, caches, out)
        commands = [shlex.join((job.program, *job.arguments)) for job in jobs]
        typer.echo("\n".join([*commands, f"remaining: {len(jobs)}"]))
        return
    typer.echo(run(config, caches, out), nl=False)
    typer.echo(f"page: {out / 'index.html'}, all runs: results.csv and detection.csv next to it")


def _named(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise UserError(f"--cache {text}: expected NAME=PATH, for example standard=cache/train")
    return name, path
