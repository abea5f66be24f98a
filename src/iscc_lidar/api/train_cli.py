"""The program ``iscc-train``: the commands of training, and ``predict``, which also reads datasets' own files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from iscc_lidar.shared.base.cli import names_of, report_user_errors
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.text import counted, printable
from iscc_lidar.trainer.cli import app

if TYPE_CHECKING:
    from iscc_lidar.shared.cache.source import SweepSource
    from iscc_lidar.trainer.data.places import Place
    from iscc_lidar.trainer.finetune.predict import Predicted

__all__ = ["app", "predict"]

_SHOWN_SKIPPED = 20


@app.command(no_args_is_help=True)
@report_user_errors
def predict(
    run: Annotated[Path, typer.Argument(help="OUT of iscc-train finetune")],
    source: Annotated[
        str, typer.Argument(metavar="CACHE|FOLDER", help="a cache, or with --dataset a dataset's folder")
    ],
    out: Annotated[Path, typer.Argument(help="folder for the predictions: new, empty, or written by predict before")],
    dataset: Annotated[
        str | None, typer.Option(help="read the dataset's own files: its name, see iscc-preprocess datasets")
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option("--data", help="key=value of the dataset's own options; may be repeated")
    ] = None,
    split: Annotated[str | None, typer.Option(help="only this official split of the dataset: train, val, ...")] = None,
    sequences: Annotated[str | None, typer.Option(help="only these sequences: names, separated by commas")] = None,
    poses: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|FOLDER|odometry",
            help="poses of the LiDAR, for points that are deskewed by them; others need none",
        ),
    ] = None,
    on_error: Annotated[
        Literal["stop", "skip"],
        typer.Option(help="skip: leave out sweeps and sequences of the dataset that cannot be used, and list them"),
    ] = "stop",
    accept_content: Annotated[
        bool, typer.Option("--accept-content", help="read the dataset even where check calls its content an error")
    ] = False,
    average_groups: Annotated[
        bool,
        typer.Option("--average-groups", help="of a cache: average classes with those of the groups"),
    ] = False,
    root: Annotated[
        Path | None, typer.Option(help="folder of the dataset, where CACHE is of nuScenes or Waymo: classes need it")
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"] | None, typer.Option(help="where to compute. Default: as the run did")
    ] = None,
) -> None:
    """Apply a fine-tuned network to all sweeps of a cache or a dataset, labelled or not.

    OUT gets the predictions in the dataset's own layout: classes as its benchmark expects them; for datasets without
    one SEQUENCE/NAME.label (uint32) and classes.txt, as the dataset "folder" reads them; boxes as KITTI's result files.
    Sweeps without a valid point get none; they are listed, and the exit status is 3. After an interruption run the same
    command again.

    Examples:

        iscc-train predict runs/tuned cache/new predictions/new

        iscc-train predict runs/tuned data/semantickitti predictions/test --dataset semantickitti --sequences 11,12

        iscc-train predict runs/tuned recordings predictions/mine --dataset folder
    """
    from iscc_lidar.shared.base.own import own_folder
    from iscc_lidar.trainer.finetune.predict import open_tuned, predict_run
    from iscc_lidar.trainer.finetune.score import name_predictions

    names = names_of(sequences)
    task, tuned = open_tuned(run, device=device)
    if average_groups and (dataset is not None or tuned.run.task != "semseg"):
        raise UserError("--average-groups: needs the groups of a cache, and a run of finetune semseg")
    name = name_predictions(tuned.name, average=average_groups)
    own_folder(out, "predictions", name)  # refused before sweeps are checked
    if dataset is None:
        of_files = {"--data": data, "--split": split, "--accept-content": accept_content, "--poses": poses}
        for flag, given in (of_files | {"--on-error": on_error != "stop"}).items():
            if given:
                raise UserError(f"{flag}: is for a dataset's own files; add --dataset NAME")
        sweeps, places = _of_cache(source, names)
        _finish(predict_run(task, tuned, sweeps, places, out, root, average_groups), out)
        return
    from iscc_lidar.api.dataset_sweeps import DatasetSweeps

    skip = on_error == "skip"
    files = DatasetSweeps(
        dataset,
        Path(source),
        data or (),
        names,
        split,
        poses=poses,
        out=str(out),
        skip=skip,
        accept_content=accept_content,
    )
    found = predict_run(task, tuned, files, files.places(), out, Path(source))
    _finish(found, out, files.broken, files.left_out)


def _finish(
    found: Predicted, out: Path, broken: Mapping[str, str] | None = None, reasons: Mapping[Place, str] | None = None
) -> None:
    """Print what was predicted, and what was skipped and why. Exits with status 3 if anything was skipped."""
    why = {**dict.fromkeys(found.skipped, "no point of it is valid"), **(reasons or {})}
    skipped = [f"{sequence}: sweep {name}: {why[sequence, index]}" for (sequence, index), name in found.skipped.items()]
    skipped += [f"{sequence}: {reason}" for sequence, reason in (broken or {}).items()]
    if not found.sweeps:
        raise UserError(f"no sweep can be predicted; {skipped[0]}")
    rate = found.sweeps / max(found.seconds, 1e-9)
    typer.echo(f"predictions: {out} ({counted(found.sweeps, 'sweep')}, {rate:.2g} sweeps/s)")
    for line in skipped[:_SHOWN_SKIPPED]:
        typer.echo(f"skipped: {printable(line)}", err=True)
    if len(skipped) > _SHOWN_SKIPPED:
        typer.echo(f"... and {len(skipped) - _SHOWN_SKIPPED} more", err=True)
    if skipped:
        raise typer.Exit(3)


def _of_cache(where: str, sequences: list[str] | None) -> tuple[SweepSource, list[Place]]:
    """Open a cache; returns the places of its sweeps, or of those of some sequences, too."""
    from iscc_lidar.shared.cache.reader import Cache

    cache = Cache(where)
    names = cache.sequence_names if sequences is None else sequences
    return cache, [(name, index) for name in names for index in range(cache.sequence(name).sweeps)]
