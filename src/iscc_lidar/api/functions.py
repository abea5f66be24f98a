"""The public functions. Each imports what it needs when it is called, so that ``import iscc_lidar`` is light."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from iscc_lidar.api.extras import needs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from iscc_lidar.api.cache import Cache
    from iscc_lidar.api.networks import Detector, Encoder, Segmenter
    from iscc_lidar.shared.cache.spread_labels import SpreadLabels


def load_encoder(source: str | Path) -> Encoder:
    """Load a pre-trained encoder, in evaluation mode on the CPU; ``.to("cuda")`` moves it.

    Args:
        source: the name of an encoder that comes with the package ("small"), the folder of a run, pre-trained or
            fine-tuned, that of an export made with ``--to native``, or an encoder.safetensors.

    Raises:
        UserError: none of these, damaged weights, or PyTorch is not installed.

    Example:
        >>> encoder = iscc_lidar.load_encoder("runs/iscc")
        >>> points = iscc_lidar.open_cache("cache/kitti")["00"][0].points
        >>> features = encoder(points)
        >>> features.shape == (len(points), encoder.channels)
        True
    """
    with needs("train"):
        from iscc_lidar.api.loading import encoder_from
    return encoder_from(source)


def load_model(run: str | Path) -> Segmenter | Detector:
    """Load a fine-tuned network, in evaluation mode on the CPU; ``.to("cuda")`` moves it.

    Args:
        run: OUT of ``iscc-train finetune``: a Segmenter for the task semseg, a Detector for detection.

    Raises:
        UserError: no fine-tuned run, damaged weights, or PyTorch is not installed.

    Example:
        >>> model = iscc_lidar.load_model("runs/tuned")
        >>> classes = model(iscc_lidar.open_cache("cache/kitti")["00"][0].points)
        >>> classes.dtype, len(model.class_names)
        (dtype('uint8'), 20)
    """
    with needs("train"):
        from iscc_lidar.api.loading import model_from
    return model_from(run)


def group(
    sweeps: Sequence[NDArray[np.float32]],
    poses: Sequence[NDArray[np.float64]] | NDArray[np.float64],
    *,
    recipe: str | Path | None = None,
    options: Mapping[str, object] | None = None,
    progress: bool = False,
) -> list[NDArray[np.int32]]:
    """Group the points of consecutive sweeps, as ``iscc-preprocess run`` does, without files.

    Args:
        sweeps: float32 [N, 4] each, in order of time: x, y, z in metres in the sensor's frame (x forward, y left, z
            up), intensity 0..1. Points at exactly 0, 0, 0 are invalid.
        poses: float64 [4, 4] each; they take the sensor's frame to one that is the same for all sweeps.
        recipe: TOML file of options.
        options: options of ``iscc-preprocess run`` by ``section.key``, as in ``{"window.sweeps": 8}``.
        progress: show a bar.

    Returns:
        a label for each point, int32 [N] each: the ID of its group, stable through the sweeps, or -1 for noise, -2
        for ground, -3 for ignored (out of range, the own vehicle, invalid).

    Raises:
        UserError: points, poses or options that are not as described, or packages of preprocessing are missing.

    Example:
        >>> sequence = iscc_lidar.open_cache("cache/kitti")["00"]
        >>> sweeps = [sweep.points for sweep in sequence[:4]]
        >>> labels = iscc_lidar.group(sweeps, [sweep.pose for sweep in sequence[:4]])
        >>> [len(label) for label in labels] == [len(points) for points in sweeps]
        True
    """
    with needs("preprocess"):
        from iscc_lidar.api.commands import as_items
        from iscc_lidar.api.grouping import group_sweeps
        from iscc_lidar.preprocess.config import PreprocessConfig
        from iscc_lidar.shared.base.config import resolve
    config = resolve(PreprocessConfig, None if recipe is None else Path(recipe), as_items(options))
    with needs("preprocess"):
        return group_sweeps(sweeps, poses, config, progress)


def open_cache(where: str | Path) -> Cache:
    """Open a cache of groups by its folder or URL; arrays are read when they are used.

    Raises UserError if it is missing, or of a format that this version cannot read.

    Example:
        >>> cache = iscc_lidar.open_cache("cache/kitti")
        >>> list(cache), len(cache["00"])
        (['00', '01'], 6)
        >>> sweep = cache["00"][5]
        >>> sweep.points.shape == (len(sweep.label), 4)
        True
        >>> sweep.groups.column_names
        ['sweep', 'group', 'points', 'moving', 'centroid', 'box_min', 'box_max']
    """
    from iscc_lidar.api.cache import Cache

    return Cache(where)


def preprocess(
    dataset: str,
    root: str | Path | None = None,
    cache: str | Path | None = None,
    *,
    data: Mapping[str, object] | None = None,
    poses: str | Path | None = None,
    split: str | None = None,
    sequences: Sequence[str] | None = None,
    on_error: Literal["stop", "skip"] = "stop",
    accept_content: bool = False,
    workers: int = 0,
    scheduler: str | None = None,
    recipe: str | Path | None = None,
    options: Mapping[str, object] | None = None,
) -> Cache:
    """Make, complete or update the cache of a dataset, as ``iscc-preprocess run``; returns the cache.

    Args:
        dataset: its name; ``iscc-preprocess datasets`` lists them.
        root: folder of the dataset; by default as the command.
        cache: folder or URL of the cache; by default cache/DATASET.
        data: the dataset's own options.
        poses: file or folder of poses of the LiDAR, or "odometry" to compute them; by default the dataset's own, and
            odometry for a folder without any.
        split: only this official split.
        sequences: only these.
        on_error: "skip" leaves out what cannot be processed; it is listed in ``skipped`` of the result.
        accept_content: process data even where the check calls what some sweeps contain an error.
        workers: worker processes; 0 works in this one. A script that uses more must guard its start by
            ``if __name__ == "__main__":``, as the workers import it.
        scheduler: address of a running Dask scheduler to use instead.
        recipe: TOML file of options.
        options: options by ``section.key``, as in ``{"window.sweeps": 8}``.

    Raises:
        UserError: as the command.

    Example:
        >>> cache = iscc_lidar.preprocess("synthetic", "data/streets", "cache/new", options={"window.sweeps": 3,
        ...     "window.stride": 1})
        >>> len(cache)
        2
    """
    with needs("preprocess"):
        from iscc_lidar.api.commands import make_cache

        where = f"cache/{dataset}" if cache is None else cache
        make_cache(
            dataset,
            root,
            where,
            data=data,
            poses=None if poses is None else str(poses),
            split=split,
            sequences=sequences,
            on_error=on_error,
            accept_content=accept_content,
            workers=workers,
            scheduler=scheduler,
            recipe=recipe,
            options=options,
        )
    return open_cache(where)


def pretrain(
    cache: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    recipes: Sequence[str | Path] = (),
    options: Mapping[str, object] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
) -> Path:
    """Pre-train an encoder on a cache, as ``iscc-train pretrain``; returns ``out``, from which it can be loaded.

    Args:
        cache: folder or URL of the cache, or several, whose sweeps are drawn equally often.
        out: folder of the run.
        recipes: names of recipes, or TOML files; later ones prevail.
        options: options by ``section.key``, as in ``{"train.steps": 600}``.
        resume: continue from the last checkpoint, if there is one.
        overwrite: remove the run in ``out`` first.
        dry_run: check options, data, memory and time with two steps, print what was found, and write nothing.

    Raises:
        UserError: as the command.
        KeyboardInterrupt: a signal asked to stop; the last step is saved, and ``resume`` continues there.

    Example:
        >>> run = iscc_lidar.pretrain("cache/kitti", "runs/new", recipes=["quick"], options={"train.steps": 1,
        ...     "train.loader_workers": 0})
        >>> iscc_lidar.load_encoder(run).voxel_size_m
        0.2
    """
    with needs("train"):
        from iscc_lidar.api.commands import make_run

        make_run(cache, Path(out), recipes=recipes, options=options, resume=resume, overwrite=overwrite, dry=dry_run)
    return Path(out)


def spread_labels(
    cache: str | Path,
    out: str | Path,
    labelled: str | Path | Iterable[tuple[str, str]],
    *,
    labels: str | Path | None = None,
    workers: int = 0,
    scheduler: str | None = None,
    options: Mapping[str, object] | None = None,
) -> SpreadLabels:
    """Carry the labels of some sweeps to all sweeps of their sequences, as ``iscc-cache spread``.

    Args:
        cache: folder or URL of the cache, whose groups and poses are used.
        out: folder or URL to write into.
        labelled: sweeps whose labels are used: a list file, or pairs of sequence and name.
        labels: folder of their labels, as .label files; by default those in the cache.
        workers: worker processes; 0 works in this one. A script that uses more must guard its start by
            ``if __name__ == "__main__":``.
        scheduler: address of a running Dask scheduler to use instead.
        options: options by key, as in ``{"reach_m": 0.5}``.

    Returns:
        the labels: ``sweep(sequence, index)`` has ``classes`` uint8 [N], 0 for none, ``confidence`` float32 [N], and
        ``source`` uint8 [N]: 0 nothing, 1 the sweep's own label, 2 position, 3 group; class 0 with a source says that
        people left it unlabelled.

    Raises:
        UserError: as the command, or packages of preprocessing are missing.

    Example:
        >>> labels = iscc_lidar.spread_labels("cache/kitti", "spread/kitti", [("00", "000002")])
        >>> found = labels.sweep("00", 4)
        >>> bool((found.classes > 0).mean() > 0.5), bool(found.confidence.max() <= 1)
        (True, True)
    """
    with needs("preprocess"):
        from iscc_lidar.api.commands import as_items
        from iscc_lidar.api.spreading import spread_list
        from iscc_lidar.preprocess.spread.rule import SpreadConfig
        from iscc_lidar.shared.base.config import resolve

        config = resolve(SpreadConfig, None, as_items(options))
        sweeps = Path(labelled) if isinstance(labelled, str | Path) else labelled
        where = None if labels is None else Path(labels)
        return spread_list(cache, out, sweeps, where, config, workers, scheduler)
