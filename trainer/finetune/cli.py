"""``iscc-train finetune``: fine-tune with few labels, and score the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from iscc_lidar.shared.base.cli_errors import report_user_errors
from iscc_lidar.shared.base.config import find_shipped, resolve, to_toml

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help="Fine-tune with few labels.")

TrainCache = Annotated[str | None, typer.Option(help="cache whose labels are learnt from")]
Out = Annotated[Path | None, typer.Option(help="folder for network, metrics, scores and configuration")]
PreTrained = Annotated[
    Path | None, typer.Option(help="OUT of a pre-training run, or an encoder.safetensors. Default: from scratch")
]
ValCache = Annotated[str | None, typer.Option(help="cache that scores the result. Default: no score")]
Labelled = Annotated[
    Path | None, typer.Option(help="list of the labelled sweeps. Default: labels.percent of them, by labels.seed")
]
Among = Annotated[Path | None, typer.Option(help="draw the labelled sweeps among those of this list")]
ValList = Annotated[Path | None, typer.Option(help="score only the sweeps of this list")]
Recipe = Annotated[str | None, typer.Option(help="a recipe's name, for example quick, or a TOML file")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="section.key=value; may be repeated")]
Resume = Annotated[bool, typer.Option("--resume", help="continue from the last checkpoint, if there is one")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="remove the run in OUT first")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="check options, data, memory and time with two steps; write nothing")
]
ShowConfig = Annotated[bool, typer.Option("--show-config", help="print the options as a recipe, and stop")]


@dataclass(frozen=True)
class _Request:
    """What both commands have in common."""

    task: Literal["semseg", "detection"]
    train_cache: str | None
    out: Path | None
    encoder: Path | None
    labelled: Path | None
    among: Path | None
    recipe: str | None
    overrides: Sequence[str]
    resume: bool
    overwrite: bool
    dry_run: bool
    show_config: bool


@app.command()
@report_user_errors
def semseg(
    train_cache: TrainCache = None,
    out: Out = None,
    encoder: PreTrained = None,
    val_cache: ValCache = None,
    labelled: Labelled = None,
    among: Among = None,
    val_list: ValList = None,
    predictions: Annotated[
        Path | None, typer.Option(help="folder for the predictions, in the dataset's own layout. Default: none")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="folder of the dataset: predictions for nuScenes and Waymo need it")
    ] = None,
    recipe: Recipe = None,
    overrides: Overrides = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    show_config: ShowConfig = False,
) -> None:
    """Fine-tune for semantic segmentation, and score every original point of other sweeps.

    OUT holds `segmentation.safetensors`, `labelled.txt`, `metrics.jsonl`, `config.json`, and after scoring
    `segmentation.json` (mIoU by the dataset's own rule, IoU of each class, the confusion matrix) and two pictures.

    Examples:

        iscc-train finetune semseg --train-cache cache/train --val-cache cache/val --encoder runs/iscc --out runs/tuned
        --set labels.percent=1

        iscc-train finetune semseg --train-cache cache/train --val-cache cache/val --out runs/scratch --recipe long
    """
    run = _finetune(
        _Request(
            *("semseg", train_cache, out, encoder, labelled, among, recipe, overrides or ()),
            *(resume, overwrite, dry_run, show_config),
        )
    )
    if run is not None and val_cache is not None:
        from iscc_lidar.trainer.finetune.semseg.segment import Where, report, score_run

        typer.echo(report(score_run(run, Where(val_cache, val_list, predictions, root))), nl=False)


@app.command()
@report_user_errors
def detection(
    train_cache: TrainCache = None,
    out: Out = None,
    encoder: PreTrained = None,
    val_cache: ValCache = None,
    labelled: Labelled = None,
    among: Among = None,
    val_list: ValList = None,
    predictions: Annotated[
        Path | None, typer.Option(help="folder for the boxes, as KITTI's result files. Default: none")
    ] = None,
    recipe: Recipe = None,
    overrides: Overrides = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    show_config: ShowConfig = False,
) -> None:
    """Fine-tune for 3-D detection of cars, pedestrians and cyclists, and score it by KITTI's rules.

    OUT holds `detection.safetensors`, `labelled.txt`, `metrics.jsonl`, `config.json`, and after scoring
    `detection.json` (AP at 11 and 40 recall positions, in 3-D and bird's-eye view, easy, moderate and hard) and a
    picture.

    Examples:

        iscc-train finetune detection --train-cache cache/kitti-train --val-cache cache/kitti-val --encoder runs/iscc
        --out runs/boxes --set labels.percent=5

        iscc-train finetune detection --train-cache cache/kitti --labelled lists/5_0.txt --val-list ImageSets/val.txt
        --val-cache cache/kitti --out runs/scratch --predictions runs/scratch/results
    """
    run = _finetune(
        _Request(
            *("detection", train_cache, out, encoder, labelled, among, recipe, overrides or ()),
            *(resume, overwrite, dry_run, show_config),
        )
    )
    if run is not None and val_cache is not None:
        from iscc_lidar.trainer.finetune.detection.detect import report, score_run

        typer.echo(report(score_run(run, val_cache, val_list, predictions)), nl=False)


def _finetune(request: _Request) -> Path | None:
    """Fine-tune for a task; returns the folder of the run, None where this process has nothing to score."""
    from iscc_lidar.trainer.finetune.encoder import find_encoder
    from iscc_lidar.trainer.finetune.tasks import TASKS
    from iscc_lidar.trainer.hardware.distributed import is_first_process
    from iscc_lidar.trainer.run.dry_run import dry_run
    from iscc_lidar.trainer.run.loop import train
    from iscc_lidar.trainer.run.stop_signal import exit_when_stopped

    task, out = TASKS[request.task], request.out
    recipes = find_shipped(task.recipes, request.recipe) if request.recipe else None
    config = resolve(task.config, recipes, request.overrides)
    if request.show_config:
        typer.echo(to_toml(config), nl=False)
        return None
    if request.train_cache is None or out is None:
        raise typer.BadParameter("--train-cache and --out are both needed")
    encoder = find_encoder(request.encoder) if request.encoder else None
    learner = task.learner.of(request.train_cache, config, encoder, request.labelled, request.among)
    if request.dry_run:
        typer.echo(dry_run(learner, out, resume=request.resume, overwrite=request.overwrite))
        return None
    with exit_when_stopped():
        train(learner, out, resume=request.resume, overwrite=request.overwrite)
    if not is_first_process():
        return None
    typer.echo(f"network: {out / learner.network_file}")
    return out
