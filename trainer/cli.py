"""Command line of training: ``iscc-train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from iscc_lidar.shared.base.cli import (
    Command,
    KeySets,
    Sets,
    ShowConfig,
    exit_if_shown,
    new_program,
    report_user_errors,
)
from iscc_lidar.shared.base.config import resolve
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.finetune.cli import finetune
from iscc_lidar.trainer.finetune.pseudo_label_cli import pseudo_label
from iscc_lidar.trainer.reproduce.cli import reproduce

app = new_program("Pre-train an encoder on a cache, fine-tune it with few labels, evaluate, report and export it.")

EngineName = Literal["auto", "native", "torchsparse"]
Recipes = Annotated[
    list[str] | None,
    typer.Option(
        "--recipe",
        help="a recipe's name, for example occ_only_8, or a TOML file; may be repeated, later ones prevail",
    ),
]


@app.command(cls=Command)
@report_user_errors
def pretrain(
    cache: Annotated[
        list[str],
        typer.Option(
            help="a cache made by iscc-preprocess; may be repeated, all sweeps of all caches are drawn equally often, "
            "those of a cache that is given twice twice as often"
        ),
    ],
    out: Annotated[Path, typer.Option(help="folder for weights, metrics and configuration")],
    recipe: Recipes = None,
    set_: Sets = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="continue from the last checkpoint, if there is one")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="remove the run in OUT first")] = False,
    engine: Annotated[
        EngineName | None, typer.Option(help="of the sparse convolutions; short for --set train.engine=...")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="check options, data, memory and time with two steps; write nothing")
    ] = False,
    show_config: ShowConfig = False,
) -> None:
    """Pre-train an encoder by ISCC, or by another method: `--set method.name=segcontrast`.

    OUT holds `encoder.safetensors`, `metrics.jsonl`, `config.json`, and the same options as a recipe, `config.toml`.

    SIGTERM or Ctrl-C ends the run after its step and saves it: exit status 143 or 130, and `--resume` continues exactly
    there; a second Ctrl-C ends it at once. After a kill, `--resume` continues from the last checkpoint.

    `--show-config` explains each option: `[authors]` marks what the method's authors state, `[ours]` our choice,
    with the work that it follows.

    Several GPUs: `torchrun --nproc-per-node 8 --no-python iscc-train pretrain ...`; the batch stays the same size.

    Examples:

        iscc-train pretrain --cache cache/synthetic --out runs/iscc

        iscc-train pretrain --cache cache/synthetic --out runs/local --recipe local_only --set train.steps=600

        iscc-train pretrain --cache cache/synthetic --out runs/segcontrast --recipe quick --recipe segcontrast

        iscc-train pretrain --cache cache/synthetic --out runs/local --resume

        iscc-train pretrain --cache cache/kitti --cache cache/mine --out runs/both

        iscc-train pretrain --cache cache/kitti --out runs/kitti --recipe iscc --dry-run
    """
    from iscc_lidar.trainer.pretrain.recipe import find_recipes, resolve_pretrain
    from iscc_lidar.trainer.run.stop_signal import exit_when_stopped

    bases = find_recipes(recipe or (), out if resume else None)
    config = resolve_pretrain(bases, [*(set_ or ()), *([f"train.engine={engine}"] if engine else ())])
    exit_if_shown(show_config, config)
    if dry_run:
        from iscc_lidar.shared.cache.reader import Cache
        from iscc_lidar.trainer.pretrain.learner import PretrainLearner
        from iscc_lidar.trainer.run import dry_run as dry

        learner = PretrainLearner([Cache(each) for each in cache], config)
        typer.echo(dry.dry_run(learner, out, resume=resume, overwrite=overwrite))
        return
    from iscc_lidar.trainer.hardware.distributed import is_first_process
    from iscc_lidar.trainer.pretrain.learner import pretrain as run

    with exit_when_stopped():
        trained = run(cache, out, config, resume=resume, overwrite=overwrite)
    if not is_first_process():
        return
    state = "finished" if trained else "was finished already, nothing done"
    typer.echo(f"{state}: encoder {out / 'encoder.safetensors'}, metrics {out / 'metrics.jsonl'}")
    typer.echo(f"look at it: iscc-train report {out}")


@app.command(cls=Command)
@report_user_errors
def evaluate(
    run: Annotated[Path, typer.Option(help="OUT of a pre-training run")],
    train_cache: Annotated[str, typer.Option(help="cache whose labels fit the probes")],
    val_cache: Annotated[str, typer.Option(help="cache of other sequences that scores them")],
    out: Annotated[Path | None, typer.Option(help="where to write JSON; default RUN/evaluation.json")] = None,
    labelled: Annotated[
        Path | None,
        typer.Option(help="list of the labelled sweeps, see iscc-cache fractions. Default: evenly spread ones"),
    ] = None,
    untrained: Annotated[
        bool, typer.Option("--untrained", help="only the control: the run's network with new weights")
    ] = False,
    set_: Sets = None,
    show_config: ShowConfig = False,
) -> None:
    """Score features without fine-tuning, compared with those of the same network untrained.

    Linear and nearest-neighbour probe; groups clustered without a label, by prototypes and by k-means; occupancy.

    Example:

        iscc-train evaluate --run runs/iscc --train-cache cache/synthetic --val-cache cache/unseen

        iscc-train evaluate --run runs/iscc --train-cache cache/train --val-cache cache/val --labelled labels_1.txt
    """
    from iscc_lidar.trainer.evaluation.evaluate import EvaluationConfig
    from iscc_lidar.trainer.evaluation.evaluate import evaluate as score
    from iscc_lidar.trainer.evaluation.results import EVALUATION_FILE, report

    config = resolve(EvaluationConfig, None, set_ or ())
    exit_if_shown(show_config, config)
    found = score(run, train_cache, val_cache, config, out or run / EVALUATION_FILE, labelled, untrained_only=untrained)
    typer.echo(report(found), nl=False)


@app.command()
@report_user_errors
def bench(
    cache: Annotated[str, typer.Option(help="a cache made by iscc-preprocess")],
    recipe: Recipes = None,
    set_: Sets = None,
    steps: Annotated[int, typer.Option(help="timed steps", min=1)] = 8,
) -> None:
    """Time a training step on this machine: how much of it waits for the loader, and which sparse engine is fastest.

    Exit status 1 where the engines' outputs in fp32 differ by more than 1e-4.

    Example:

        iscc-train bench --cache cache/synthetic --recipe quick
    """
    from iscc_lidar.shared.cache.reader import Cache
    from iscc_lidar.trainer.pretrain.recipe import find_recipes, resolve_pretrain
    from iscc_lidar.trainer.pretrain.time_step import describe, time_training

    config = resolve_pretrain(find_recipes(recipe or ()), set_ or ())
    times = time_training(Cache(cache), config, steps)
    typer.echo(describe(times, config))
    raise typer.Exit(1 if times.disagreeing else 0)


@app.command(cls=Command)
@report_user_errors
def report(
    runs: Annotated[list[Path], typer.Argument(help="OUT of a run, finished or not; of several, to compare them")],
    cache: Annotated[str | None, typer.Option(help="cache whose sweeps are shown; default: the run's own")] = None,
    out: Annotated[
        Path | None, typer.Option(help="the page to write. Default: RUN/report.html; of several comparison.html here")
    ] = None,
    set_: KeySets = None,
    show_config: ShowConfig = False,
) -> None:
    """Write one HTML page on a run, or one that compares several. It needs nothing but a browser.

    One run: health, curves, prototypes, sweeps, setup. Several of one task: curves together, scores side by side, what
    differs in their options.

    Examples:

        iscc-train report runs/iscc --set sweeps=48

        iscc-train report runs/iscc runs/local runs/both --out compared.html
    """
    from iscc_lidar.trainer.report.comparison import write_comparison
    from iscc_lidar.trainer.report.report import ReportConfig, write_report

    config = resolve(ReportConfig, None, set_ or ())
    exit_if_shown(show_config, config)
    if len(runs) == 1:
        page = out or runs[0] / "report.html"
        write_report(runs[0], cache, page, config)
    else:
        if cache is not None or set_:
            raise UserError(
                "--cache and --set go with one run, whose sweeps are shown; leave them out, or name one run"
            )
        page = out or Path("comparison.html")
        write_comparison(runs, page)
    typer.echo(f"report: {page}")


@app.command()
@report_user_errors
def export(
    run: Annotated[Path, typer.Argument(help="OUT of a run", show_default=False)],
    to: Annotated[str, typer.Option(help="native, pointcept, mmdetection3d or openpcdet")],
    out: Annotated[Path | None, typer.Option(help="folder to write; default RUN/export/TARGET")] = None,
    cache: Annotated[str | None, typer.Option(help="where the run's cache lies now, if it has moved")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace an earlier export in OUT")] = False,
) -> None:
    """Write the encoder of a run for another code base.

    OUT holds the weights, what the target needs besides, `config.json`, and `MODEL_CARD.md`, which explains how to
    load them.

    Examples:

        iscc-train export runs/iscc --to native

        iscc-train export runs/iscc --to openpcdet --out weights/openpcdet
    """
    from iscc_lidar.trainer.export.write import export as write

    folder = write(run, to, out, cache, overwrite)
    typer.echo(f"exported: {folder}, how to load it: {folder / 'MODEL_CARD.md'}")


app.command(name="finetune", cls=Command)(finetune)
app.command(name="pseudo-label", no_args_is_help=True)(pseudo_label)
app.command(name="reproduce", cls=Command)(reproduce)
