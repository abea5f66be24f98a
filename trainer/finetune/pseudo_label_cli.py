"""Command line of labels by a network, ``iscc-train pseudo-label``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from iscc_lidar.shared.base.cli import report_user_errors
from iscc_lidar.shared.base.errors import UserError


@report_user_errors
def pseudo_label(
    run: Annotated[Path, typer.Argument(help="OUT of iscc-train finetune semseg")],
    cache: Annotated[str, typer.Argument(help="cache with the sweeps, of the classes of the run")],
    out: Annotated[str, typer.Argument(help="folder to write into: new, empty, or with spread labels")],
    labelled: Annotated[
        Path | None, typer.Option(help="list of the labelled sweeps, which keep their labels. Default: those of SPREAD")
    ] = None,
    spread: Annotated[
        str | None,
        typer.Option(help="labels that iscc-cache spread carried to other sweeps; they prevail"),
    ] = None,
    min_confidence: Annotated[float, typer.Option(min=0, max=1, help="leave out what is less probable")] = 0.5,
    device: Annotated[
        Literal["auto", "cpu", "cuda"] | None, typer.Option(help="where to compute. Default: as the run did")
    ] = None,
) -> None:
    """Label all sweeps of a cache by a fine-tuned network, to train the next one on.

    Predictions are averaged with those of their groups over all sweeps first. Labels of the labelled sweeps, and spread
    ones, prevail. OUT is what `finetune --spread` takes, and has a confidence for each point. Where the cache has other
    labels, the quality is printed.

    Examples:

        iscc-train pseudo-label runs/spread cache/train labels/second --spread spread/train

        iscc-train finetune semseg --train-cache cache/train --spread labels/second --val-cache cache/val
        --out runs/second
    """
    from iscc_lidar.shared.cache.reader import Cache
    from iscc_lidar.shared.cache.spread_labels import SpreadLabels
    from iscc_lidar.shared.cache.spread_quality import measure_quality, quality_content, quality_table
    from iscc_lidar.shared.store.open import open_store
    from iscc_lidar.trainer.data.places import listed_places
    from iscc_lidar.trainer.finetune.predict import open_tuned
    from iscc_lidar.trainer.finetune.semseg.pseudo_labels import Teacher, write_pseudo_labels

    if labelled is None and spread is None:
        raise UserError("--labelled or --spread: which sweeps are labelled? Pass their list, or spread labels")
    opened = Cache(cache)
    labels = None if spread is None else SpreadLabels(spread, opened)
    if labelled is not None:
        places = listed_places(opened, labelled)
    else:
        assert labels is not None
        places = [(name, index) for name in labels.sequence_names for index in labels.labelled(name)]
    _, tuned = open_tuned(run, device=device)
    if tuned.run.task != "semseg":
        raise UserError(f"{run}: a run of {tuned.run.task}; expected one of finetune semseg")
    write_pseudo_labels(Teacher(tuned, opened, places, labels, min_confidence), open_store(out))
    found = SpreadLabels(out, opened)
    quality = measure_quality(opened, found)
    if quality is not None:
        typer.echo(quality_table(quality_content(quality, opened.manifest.class_names)))
    typer.echo(f"labels: {found.path}")
