"""The program ``iscc-train``: the commands of training, and ``predict``, which also reads datasets' own files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from iscc_lidar.shared.base.cli import report_user_errors
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.cli import app

if TYPE_CHECKING:
    from iscc_lidar.shared.cache.source import SweepSource
    from iscc_lidar.trainer.data.places import Place

__all__ = ["app", "predict"]


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
    accept_content: Annotated[
        bool, typer.Option("--accept-content", help="read the dataset even where check calls its content an error")
    ] = False,
    root: Annotated[
        Path | None, typer.Option(help="folder of the dataset, where CACHE is of nuScenes or Waymo: classes need it")
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"] | None, typer.Option(help="where to compute. Default: as the run did")
    ] = None,
) -> None:
    """Apply a fine-tuned network to all sweeps of a cache or a dataset, labelled or not.

    OUT holds one file per sweep in the dataset's own layout: classes as its benchmark expects them, or boxes as KITTI's
    result files.

    Examples:

        iscc-train predict runs/tuned cache/new predictions/new

        iscc-train predict runs/tuned data/semantickitti predictions/test --dataset semantickitti --sequences 11,12
    """
    from iscc_lidar.trainer.finetune.predict import predict_run

    names = None if sequences is None else [name.strip() for name in sequences.split(",") if name.strip()]
    if dataset is None:
        for flag, given in (("--data", data), ("--split", split), ("--accept-content", accept_content)):
            if given:
                raise UserError(f"{flag}: is for a dataset's own files; add --dataset NAME")
        sweeps, places = _of_cache(source, names)
    else:
        from iscc_lidar.api.dataset_sweeps import DatasetSweeps

        files = DatasetSweeps(dataset, Path(source), data or (), names, split, accept_content)
        sweeps, places = files, files.places()
    found = predict_run(run, sweeps, places, out, Path(source) if dataset else root, device)
    rate = found.sweeps / max(found.seconds, 1e-9)
    typer.echo(f"predictions: {out} ({found.sweeps} sweeps, {rate:.2g} sweeps/s)")


def _of_cache(where: str, sequences: list[str] | None) -> tuple[SweepSource, list[Place]]:
    """Open a cache; returns the places of its sweeps, or of those of some sequences, too."""
    from iscc_lidar.shared.cache.reader import Cache

    cache = Cache(where)
    names = cache.sequence_names if sequences is None else sequences
    return cache, [(name, index) for name in names for index in range(cache.sequence(name).sweeps)]
