"""``iscc-train finetune``: fine-tune with few labels, and score the result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iscc_lidar.shared.base.cli_errors import friendly
from iscc_lidar.shared.base.config import find_shipped, resolve, to_toml

if TYPE_CHECKING:
    from iscc_lidar.trainer.finetune.task import Task

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
Overrides = Annotated[list[str] | None, typer.Option("--set", help="section.key=value; may be repeated")]
Resume = Annotated[bool, typer.Option("--resume", help="go on from the last checkpoint, if there is one")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="throw away the run in OUT")]
ShowConfig = Annotated[bool, typer.Option("--show-config", help="print the options as a recipe, and stop")]


@app.command()
@friendly
def semseg(
    train_cache: TrainCache = None,
    out: Out = None,
    encoder: PreTrained = None,
    val_cache: ValCache = None,
    labelled: Labelled = None,
    among: Among = None,
    val_list: ValList = None,
    predictions: Annotated[
        Path | None, typer.Option(help="folder for the predictions, in the data set's own layout. Default: none")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="folder of the data set: predictions for nuScenes and Waymo need it")
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="a recipe's name, for example short, or a TOML file")] = None,
    overrides: Overrides = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    show_config: ShowConfig = False,
) -> None:
    """Fine-tune for semantic segmentation, and score every original point of other sweeps.

    OUT holds `segmentation.safetensors`, `labelled.txt`, `metrics.jsonl`, `config.json`, and after scoring
    `segmentation.json` (mIoU by the data set's own rule, IoU of each class, the confusion matrix) and two pictures.

    Examples:

        iscc-train finetune semseg --train-cache cache/train --val-cache cache/val --encoder runs/iscc --out runs/tuned
        --set labels.percent=1

        iscc-train finetune semseg --train-cache cache/train --val-cache cache/val --out runs/scratch --recipe long
    """
    from iscc_lidar.trainer.finetune.semseg.config import RECIPES, SemsegConfig
    from iscc_lidar.trainer.finetune.semseg.learner import NETWORK_FILE, SEMSEG
    from iscc_lidar.trainer.finetune.semseg.segment import Where, report, score_run
    from iscc_lidar.trainer.hardware.distributed import is_first_process

    config = resolve(SemsegConfig, find_shipped(RECIPES, recipe) if recipe else None, overrides or ())
    if show_config:
        typer.echo(to_toml(config), nl=False)
        return
    out = _tuned(SEMSEG, config, train_cache, out, encoder, labelled, among, resume, overwrite)
    if is_first_process():
        if val_cache is not None:
            typer.echo(report(score_run(out, Where(val_cache, val_list, predictions, root))), nl=False)
        typer.echo(f"network: {out / NETWORK_FILE}")


@app.command()
@friendly
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
    recipe: Annotated[str | None, typer.Option(help="a recipe's name, for example kitti, or a TOML file")] = None,
    overrides: Overrides = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    show_config: ShowConfig = False,
) -> None:
    """Fine-tune for 3-D detection of cars, pedestrians and cyclists, and score it by KITTI's rules.

    OUT holds `detection.safetensors`, `labelled.txt`, `metrics.jsonl`, `config.json`, and after scoring
    `detection.json` (AP at 11 and 40 recalls, in space and from above, easy, moderate and hard) and a picture.

    Examples:

        iscc-train finetune detection --train-cache cache/kitti-train --val-cache cache/kitti-val --encoder runs/iscc
        --out runs/boxes --set labels.percent=5

        iscc-train finetune detection --train-cache cache/kitti --labelled lists/5_0.txt --val-list ImageSets/val.txt
        --val-cache cache/kitti --out runs/scratch --predictions runs/scratch/results
    """
    from iscc_lidar.trainer.finetune.detection.config import RECIPES, DetectionConfig
    from iscc_lidar.trainer.finetune.detection.detect import report, score_run
    from iscc_lidar.trainer.finetune.detection.learner import DETECTION, NETWORK_FILE
    from iscc_lidar.trainer.hardware.distributed import is_first_process

    config = resolve(DetectionConfig, find_shipped(RECIPES, recipe) if recipe else None, overrides or ())
    if show_config:
        typer.echo(to_toml(config), nl=False)
        return
    out = _tuned(DETECTION, config, train_cache, out, encoder, labelled, among, resume, overwrite)
    if is_first_process():
        if val_cache is not None:
            typer.echo(report(score_run(out, val_cache, val_list, predictions)), nl=False)
        typer.echo(f"network: {out / NETWORK_FILE}")


def _tuned(
    task: Task,
    config: Any,
    train_cache: str | None,
    out: Path | None,
    encoder: Path | None,
    labelled: Path | None,
    among: Path | None,
    resume: bool,
    overwrite: bool,
) -> Path:
    """Fine-tune for a task; returns the folder of the run, which must be given."""
    from iscc_lidar.trainer.finetune.encoder import find_encoder
    from iscc_lidar.trainer.finetune.loop import finetune
    from iscc_lidar.trainer.run.stop_signal import ending_when_stopped

    if train_cache is None or out is None:
        raise typer.BadParameter("--train-cache and --out are both needed")
    start = find_encoder(encoder) if encoder else None
    with ending_when_stopped():
        finetune(task, train_cache, out, config, start, labelled, among, resume=resume, overwrite=overwrite)
    return out
