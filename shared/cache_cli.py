"""Command line that reads a cache: information, verification, pictures, exports and lists of sweeps."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from iscc_lidar.shared.base.cli import new_program, report_user_errors
from iscc_lidar.shared.base.confidence import LEAST_CONFIDENCE
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.text import counted

if TYPE_CHECKING:
    from iscc_lidar.shared.cache.reader import Cache

# Commands import what they need: arrays and tables take a second, which --help must not.

app = new_program("Inspect, verify and export a cache of group labels.")

CachePath = Annotated[str, typer.Argument(metavar="CACHE", help="folder of the cache, or its URL")]
Classes = Annotated[
    Path | None,
    typer.Option(help="names of classes, one per line, the first for unlabelled. Default: those of the cache"),
]
MinConfidence = Annotated[
    float, typer.Option(min=0, max=1, help="boxes of the groups of less confidence are left out, 0 to 1")
]


@app.command()
@report_user_errors
def info(path: CachePath) -> None:
    """Print sequences, sweeps and label statistics of a cache.

    Example:

        iscc-cache info cache/synthetic
    """
    from iscc_lidar.shared.cache.reader import Cache

    cache = Cache(path)
    size = sum(max(0, size) for name, size in cache.store.files("").items() if not name.startswith("."))
    print(f"{path}: {cache.manifest.dataset}, {counted(len(cache.sequence_names), 'sequence')}, {size / 1e6:.1f} MB")
    print(
        f"{'sequence':<12}{'sweeps':>8}{'windows':>9}{'points':>13}{'grouped':>9}{'ground':>8}{'noise':>7}"
        f"{'groups':>8}{'moving':>8}{'queries':>11}"
    )
    names: Iterable[str] = cache.sequence_names
    if len(cache.sequence_names) >= 50:
        from tqdm import tqdm

        names = tqdm(names, unit="sequence", leave=False)
    for name in names:
        print(_sequence_line(cache, name))
    for skipped in cache.manifest.skipped:
        print(f"skipped: {skipped.name}: {skipped.reason}")


@app.command()
@report_user_errors
def verify(
    path: CachePath,
    repair: Annotated[bool, typer.Option("--repair", help="remove damaged blocks")] = False,
    threads: Annotated[int, typer.Option(min=1, help="number of files read at the same time")] = 8,
) -> None:
    """Check every file against its checksum. Exit status 1 if any is damaged, missing or foreign.

    With --repair, blocks with a problem are removed: the iscc-preprocess command that made the cache then makes
    those blocks again, and only those. Only files whose names the format defines are removed; foreign files, and what
    is reached through a link, are listed and left.

    Examples:

        iscc-cache verify cache/synthetic

        iscc-cache verify cache/synthetic --repair
    """
    from iscc_lidar.shared.cache.verify import remove_damaged, verify_cache

    problems = verify_cache(path, threads, show_progress=True)
    for problem in problems:
        print(problem)
    if problems and repair:
        left = remove_damaged(path, problems)
        for name in left:
            print(f"{path}/{name}: left, because it is foreign or reached through a link; move it away yourself")
        then = "and " * bool(left) + "repeat the command that made the cache, which writes what was removed"
        raise UserError(f"{path}: {len(problems)} problems; {f'move away what was left, {then}' if left else then}")
    if problems:
        raise UserError(f"{path}: {len(problems)} problems; see: iscc-cache verify --help")
    print(f"{path}: OK")


@app.command()
@report_user_errors
def show(
    path: CachePath,
    sequence: Annotated[str | None, typer.Argument(help="name of the sequence. Default: the first")] = None,
    sweep: Annotated[
        int | None,
        typer.Argument(help="index of the sweep, from 0. Default: the middle one; of a moving picture the first"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="picture to write: .png of one sweep, .gif of many. Default: SEQUENCE_SWEEP.png here"),
    ] = None,
    reach: Annotated[float, typer.Option(help="half the width of the area shown from above, metres", min=1)] = 40.0,
    sweeps: Annotated[int, typer.Option(help="most sweeps in a moving picture", min=1, max=200)] = 40,
) -> None:
    """Draw a sweep from above, or as a moving picture all sweeps from it on.

    One sweep (.png): raw with labelled boxes, ground, groups in colours that persist over time, queries. A moving
    picture (.gif): the groups from behind the car and from above. Boxes of the groups, found without labels, are drawn
    where their confidence is 0.3 or more.

    Examples:

        iscc-cache show cache/synthetic 00 5 --out sweep.png

        iscc-cache show cache/synthetic 00 --out sequence.gif --reach 30
    """
    from iscc_lidar.shared.cache.birdseye import draw_sweep
    from iscc_lidar.shared.cache.moving_picture import draw_moving_picture
    from iscc_lidar.shared.cache.reader import Cache

    cache = Cache(path)
    if not cache.sequence_names:
        raise UserError(f"{path}: contains no sequence to show; add some with iscc-preprocess run")
    name = cache.sequence_names[0] if sequence is None else sequence
    kind = ".png" if out is None else out.suffix.lower()
    if out is not None and kind == ".gif":
        draw_moving_picture(cache, name, sweep or 0, sweeps, out, reach, show_progress=True)
        print(f"moving picture: {out}")
        return
    if kind != ".png":
        raise UserError(f"--out {out}: expected .png, a picture of one sweep, or .gif, a moving picture of many")
    index = cache.sequence(name).sweeps // 2 if sweep is None else sweep
    target = out or Path(f"{name}_{index:06d}.png")
    draw_sweep(cache.sweep(name, index), target, reach, cache.boxes(name, index), cache.group_boxes(name, index))
    print(f"picture: {target}")


@app.command()
@report_user_errors
def view(
    path: CachePath,
    sequence: Annotated[str | None, typer.Argument(help="name of the sequence. Default: the first")] = None,
    web: Annotated[bool, typer.Option("--web", help="in a browser, served to this machine alone")] = False,
    port: Annotated[int, typer.Option(help="port of --web; 0: any", min=0, max=65535)] = 9090,
    min_confidence: MinConfidence = LEAST_CONFIDENCE,
) -> None:
    """Show a sequence in the viewer rerun: groups in colours that persist over time, ground, boxes, poses.

    It is prepared first, in a temporary folder. Nothing is sent to other machines, statistics neither. With --web on
    another machine: ssh -L 9090:127.0.0.1:9090 MACHINE, and open the printed address here.

    Examples:

        iscc-cache view cache/synthetic

        iscc-cache view cache/synthetic 00 --web
    """
    from iscc_lidar.shared.cache.reader import Cache
    from iscc_lidar.shared.export.view import view_sequence

    cache = Cache(path)
    if not cache.sequence_names:
        raise UserError(f"{path}: contains no sequence to show; add some with iscc-preprocess run")
    name = cache.sequence_names[0] if sequence is None else cache.sequence(sequence).name
    view_sequence(cache, name, min_confidence, web=web, port=port)


@app.command()
@report_user_errors
def export(
    path: CachePath,
    out: Annotated[Path, typer.Argument(help="folder to write into: new, empty, or of an interrupted export")],
    to: Annotated[str, typer.Option(help="target, see below")] = "semantickitti",
    root: Annotated[
        Path | None, typer.Option(help="folder of the dataset, for waymo: image shapes, nuscenes: tables")
    ] = None,
    classes: Classes = None,
    min_confidence: MinConfidence = LEAST_CONFIDENCE,
) -> None:
    """Write the group labels as another program reads them.

    semantickitti: one .label file per sweep. waymo: one Parquet file per context, like those of lidar_segmentation.
    nuscenes: one panoptic .npz per sweep, of at most 999 groups per sequence. opensceneflow: one .h5 per sequence, for
    SeFlow and others. unit: one .seg per sweep.
    point-labeler, cvat: folders to name, join and cut groups in these tools, which import brings back.
    labels-only: no points, to publish labels of data that may not be; join makes a cache of it and the raw files.
    boxes: tracked boxes of the groups, in KITTI's files of objects and tracks and as infos of mmdetection3d. ncore: one
    NCore V4 component store per sequence. rerun: one recording for the viewer rerun per sequence.
    After an interruption the same command goes on; complete sequences are kept.

    Example:

        iscc-cache export cache/synthetic labels --to semantickitti

        iscc-cache export cache/waymo labels --to waymo --root /data/waymo

        iscc-cache export cache/mine to-label --to point-labeler --classes classes.txt

        iscc-cache export cache/synthetic boxes --to boxes --min-confidence 0.5
    """
    from iscc_lidar.shared.cache.reader import Cache
    from iscc_lidar.shared.export.target import ExportOptions, find_target
    from iscc_lidar.shared.export.write import export_cache

    target, options = find_target(to), ExportOptions(root, classes, min_confidence)
    print(f"{to}: {counted(export_cache(Cache(path), out, target, options), 'file')} below {out}")


@app.command(name="import")
@report_user_errors
def import_(
    path: CachePath,
    out: Annotated[Path, typer.Argument(help="folder to write labels into: new, empty, or written by import before")],
    source: Annotated[
        Path, typer.Option("--from", help="table of corrections (CSV), or folder of point-labeler or cvat")
    ],
    classes: Classes = None,
) -> None:
    """Make labels of whole sequences from a person's corrections: names of groups, merges, parts, single points.

    Writes OUT/SEQUENCE/NAME.label, classes.txt, SEQUENCE/objects.csv, and labelled.txt: what spread takes as --labels
    and --labelled. OUT/corrections.csv is the table, also of what was changed in a tool.

    Examples:

        iscc-cache import cache/synthetic corrected --from corrections.csv

        iscc-cache import cache/mine corrected --from to-label --classes classes.txt

        iscc-cache spread cache/mine spread/mine --labelled corrected/labelled.txt --labels corrected
    """
    from iscc_lidar.shared.cache.reader import Cache
    from iscc_lidar.shared.corrections.write import import_corrections
    from iscc_lidar.shared.layouts.formats.label_files import class_names_for

    cache = Cache(path)
    found = import_corrections(cache, source, out, class_names_for(cache.manifest.class_names, classes, path))
    share = found.labelled_points / found.points if found.points else math.nan
    print(
        f"labels: {out} ({counted(found.sequences, 'sequence')}, {counted(found.corrections, 'correction')}, "
        f"{share:.1%} of points with a class)"
    )


@app.command()
@report_user_errors
def fractions(
    path: CachePath,
    out: Annotated[Path, typer.Argument(help="folder to write labels_PERCENT.txt into")],
    percent: Annotated[str, typer.Option(help="percentages of the labelled sweeps, separated by commas")] = "1,2,5,10",
    seed: Annotated[int, typer.Option(help="another seed draws other sweeps", min=0)] = 0,
    labels: Annotated[
        Literal["classes", "boxes"], typer.Option(help="labels that count: classes of points, or boxes of objects")
    ] = "classes",
) -> None:
    """Draw the sweeps that keep their labels: nested fractions, spread over all sequences; one sweep per line.

    Sweeps without labels are left out: the lists are those that `labels.percent` of `iscc-train finetune` draws.

    Example:

        iscc-cache fractions cache/semantickitti labels --percent 1,10 --seed 1
    """
    from iscc_lidar.shared.base.own import own_folder
    from iscc_lidar.shared.cache.label_fractions import draw_fractions, labelled_names, list_text
    from iscc_lidar.shared.cache.reader import Cache

    cache, folder = Cache(path), own_folder(out, "lists")
    names = labelled_names(cache, boxes=labels == "boxes")
    try:
        percents = [float(text) for text in percent.split(",")]
    except ValueError:
        raise UserError(f"--percent {percent}: expected numbers separated by commas, as in 1,2,5,10") from None
    for share, sweeps in draw_fractions(names, percents, seed).items():
        file = f"labels_{share:g}.txt"
        comment = f"{share:g} % of the labelled sweeps of {path} ({cache.manifest.dataset}), seed {seed}"
        folder.write(file, list_text(sweeps, comment).encode())
        print(f"{out / file}: {counted(len(sweeps), 'sweep')}")


def _sequence_line(cache: Cache, name: str) -> str:
    entry = cache.sequence(name)
    totals = {"points": 0, "grouped": 0, "ground": 0, "noise": 0, "queries": 0}
    groups: set[int] = set()
    moving: set[int] = set()
    for block in cache.blocks(name):
        for column in totals:
            totals[column] += int(block.sweeps[column].to_numpy().sum())
        ids, is_moving = (block.group_rows[column].to_numpy() for column in ("group", "moving"))
        groups.update(ids.tolist())
        moving.update(ids[is_moving].tolist())
    points = totals["points"]
    share = {key: totals[key] / points if points else math.nan for key in totals}
    counts = f"{name:<12}{entry.sweeps:>8}{len(entry.windows):>9}{points:>13,}"
    shares = f"{share['grouped']:>9.1%}{share['ground']:>8.1%}{share['noise']:>7.1%}"
    return f"{counts}{shares}{len(groups):>8}{len(moving):>8}{totals['queries']:>11,}"


if __name__ == "__main__":
    app()
