"""Command line of fine-tuning, ``iscc-train finetune``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from iscc_lidar.shared.base.cli import Sets, ShowConfig, exit_if_shown, report_user_errors
from iscc_lidar.shared.base.config import find_shipped, resolve
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.own import own_folder

Task = Annotated[
    Literal["semseg", "detection"],
    typer.Argument(help="semantic segmentation, or 3-D detection of cars, pedestrians and cyclists"),
]
PreTrained = Annotated[
    Path | None, typer.Option(help="OUT of a pre-training run, or an encoder.safetensors. Default: from scratch")
]
Labelled = Annotated[
    Path | None, typer.Option(help="list of the labelled sweeps. Default: draw labels.percent of them by labels.seed")
]
Predictions = Annotated[
    Path | None,
    typer.Option(help="folder for predictions: classes in the dataset's own layout, boxes as KITTI's. Default: none"),
]
Root = Annotated[Path | None, typer.Option(help="folder of the dataset, for predicted classes of nuScenes and Waymo")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="check options, data, memory and time with two steps; write nothing")
]


@report_user_errors
def finetune(
    task: Task,
    train_cache: Annotated[str, typer.Option(help="cache with the labels to learn from")],
    out: Annotated[Path, typer.Option(help="folder for network, metrics, scores and configuration")],
    encoder: PreTrained = None,
    val_cache: Annotated[str | None, typer.Option(help="cache to score the result on. Default: no score")] = None,
    labelled: Labelled = None,
    among: Annotated[
        Path | None,
        typer.Option(help="draw the labelled sweeps from this list only; with --spread train on these only"),
    ] = None,
    spread: Annotated[
        str | None, typer.Option(help="train on labels or boxes that iscc-cache spread carried to other sweeps")
    ] = None,
    val_list: Annotated[Path | None, typer.Option(help="score only the sweeps of this list")] = None,
    average_groups: Annotated[
        bool,
        typer.Option("--average-groups", help="semseg: average predictions with those of groups, score both"),
    ] = False,
    predictions: Predictions = None,
    root: Root = None,
    recipe: Annotated[str | None, typer.Option(help="a recipe's name, for example quick, or a TOML file")] = None,
    overrides: Sets = None,
    resume: Annotated[bool, typer.Option("--resume", help="continue from the last checkpoint, if any")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="remove the run in OUT first")] = False,
    dry_run: DryRun = False,
    show_config: ShowConfig = False,
) -> None:
    """Fine-tune with few labels, and score the result on other sweeps.

    OUT holds `segmentation.safetensors` or `detection.safetensors`, `labelled.txt`, `metrics.jsonl`, `config.json`, and
    after scoring a picture and

    - semseg: `segmentation.json` (mIoU over every original point by the dataset's own rule, IoU of each class, the
      confusion matrix) and a picture of the confusion matrix;
    - detection: `detection.json` (AP by KITTI's rules at 11 and 40 recall positions, in 3-D and bird's-eye view, easy,
      moderate and hard).

    Examples:

        iscc-train finetune semseg --train-cache cache/train --val-cache cache/val --encoder runs/iscc --out runs/tuned
        --set labels.percent=1

        iscc-train finetune semseg --train-cache cache/train --spread spread/train --val-cache cache/val
        --out runs/spread

        iscc-train finetune semseg --train-cache cache/train --val-cache cache/val --out runs/scratch --recipe long

        iscc-train finetune detection --train-cache cache/kitti-train --val-cache cache/kitti-val --encoder runs/iscc
        --out runs/boxes --set labels.percent=5

        iscc-train finetune detection --train-cache cache/kitti --labelled lists/5_0.txt --val-list ImageSets/val.txt
        --val-cache cache/kitti --out runs/scratch --predictions runs/scratch/results
    """
    from iscc_lidar.trainer.finetune.encoder import find_encoder
    from iscc_lidar.trainer.finetune.score import name_network, name_predictions, score_run
    from iscc_lidar.trainer.finetune.tasks import TASKS
    from iscc_lidar.trainer.hardware.distributed import is_first_process
    from iscc_lidar.trainer.run.dry_run import dry_run as dry
    from iscc_lidar.trainer.run.folder import RECIPE_FILE
    from iscc_lidar.trainer.run.loop import train
    from iscc_lidar.trainer.run.stop_signal import exit_when_stopped

    about = TASKS[task]
    base = find_shipped(about.recipes, recipe) if recipe else None
    if base is None and resume and out is not None and (out / RECIPE_FILE).exists():  # see pretrain
        base = out / RECIPE_FILE  # the run's own options need not be repeated
    config = resolve(about.config, base, overrides or ())
    exit_if_shown(show_config, config)
    if root is not None and task == "detection":
        raise UserError("--root: boxes are written without the dataset; leave it out")
    if average_groups and task != "semseg":
        raise UserError("--average-groups: is for semseg")
    if predictions is not None:
        trained = out / about.learner.network_file if resume and out is not None else None  # if all is done
        name = name_network(trained) if trained and trained.exists() else "a network that is still to be trained"
        name = name_predictions(name, average=average_groups)
        own_folder(predictions, "predictions", name)  # refused before hours of training, not after
    start = find_encoder(encoder) if encoder else None
    if start and is_first_process() and (changes := start.describe_changes(config.model)):
        typer.echo(changes, err=True)
    if spread is not None:
        if labelled is not None:
            raise UserError("--spread: is without --labelled: its labelled sweeps are known")
        scored = (val_cache, val_list) if val_cache is not None else None
        learner = about.learner.of_spread(train_cache, config, spread, start, scored, among)
    else:
        learner = about.learner.of(train_cache, config, start, labelled, among)
    if dry_run:
        typer.echo(dry(learner, out, resume=resume, overwrite=overwrite))
        return
    with exit_when_stopped():
        train(learner, out, resume=resume, overwrite=overwrite)
    if is_first_process():
        typer.echo(f"network: {out / learner.network_file}")
        if val_cache is not None:
            found = score_run(about, out, val_cache, val_list, predictions, root, average_groups)
            typer.echo(about.table(found), nl=False)
