"""The record of what is known of a dataset, apart from reading its files; found by the dataset's name.

Every module of this package other than this one holds the record ``LAYOUT`` of the dataset with the module's name. The
modules import arrays and tables only inside functions or for types where that takes long.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Generator, Sequence, Set
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import iscc_lidar.shared.layouts as package
from iscc_lidar.shared.base.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from iscc_lidar.shared.base.own import OwnFolder
    from iscc_lidar.shared.cache.source import SweepSource
    from iscc_lidar.shared.cache.sweep import CachedSweep

WritePrediction: TypeAlias = "Callable[[CachedSweep, NDArray[np.integer]], None]"
"""Takes a sweep and the class index of each of its points [N], in the raw file's order; 0 for no prediction."""
OpenPredictions: TypeAlias = "Callable[[SweepSource, OwnFolder, Path | None], AbstractContextManager[WritePrediction]]"
"""Takes sweeps, a folder to write into, and the folder of the dataset."""


@dataclass(frozen=True)
class BoxRule:
    """How detected boxes of a class are scored.

    Attributes:
        name: of the class.
        neighbour: a similar class; finding it counts neither for nor against a detector.
        min_overlap: IoU from which on a box is found.
    """

    name: str
    neighbour: str | None
    min_overlap: float


@dataclass(frozen=True)
class Layout:
    """What is known of a dataset.

    Attributes:
        name: as in manifests and on the command line.
        description: one line: what it is, and where its files are below ROOT.
        how_to_get: where to get it, under which licence, and which files are needed for what.
        published: sequences and sweeps that its owners publish, if known.
        class_names: semantic classes by index; 0 is unlabelled.
        colors: usual RGB of each class, hexadecimal; empty if there are none.
        ground_classes: classes that are in no group, so that pre-training on groups learns nothing of them.
        absent_iou: IoU in the mean of a class without a point, in truth or prediction; None leaves the class out.
        box_rules: for those of its box classes that no other dataset has.
        open_predictions: starts to write predictions for sweeps into a folder. Without it they are
            written as labels of own recordings.
        unscored: finds the sweeps, by sequence and name, of which its benchmark wants no prediction, from the dataset's
            folder; without it there are none.
    """

    name: str
    description: str = ""
    how_to_get: str = ""
    published: tuple[int, int] | None = None
    class_names: tuple[str, ...] = ("unlabelled",)
    colors: tuple[str, ...] = ()
    ground_classes: frozenset[str] = frozenset()
    absent_iou: float | None = None
    box_rules: tuple[BoxRule, ...] = ()
    open_predictions: (
        Callable[[SweepSource, OwnFolder, Path | None], AbstractContextManager[WritePrediction]] | None
    ) = None
    unscored: Callable[[Path], Set[tuple[str, str]]] | None = None


def all_layouts() -> tuple[Layout, ...]:
    """Return the layouts of all known datasets, by name."""
    return tuple(find_layout(name) for name in sorted(_names()))


def find_layout(dataset: str) -> Layout:
    """Return the layout of a dataset; an empty one for an unknown dataset."""
    if dataset not in _names():
        return Layout(dataset)
    found: Layout = importlib.import_module(f"{package.__name__}.{dataset}").LAYOUT
    return found


@contextmanager
def open_predictions(
    source: SweepSource, folder: OwnFolder, class_names: Sequence[str], root: Path | None = None
) -> Generator[WritePrediction]:
    """Start to write predicted classes as the benchmark of the sweeps' dataset expects them; each file in one step.

        with open_predictions(source, folder, class_names) as write:
            for sweep in sweeps:
                write(sweep, predict(sweep))

    Of datasets without such a benchmark ``SEQUENCE/NAME.label`` are written, uint32 class indices, and ``classes.txt``,
    as the dataset "folder" reads them. The archive or description that a benchmark also expects is not made.

    Args:
        source: its sweeps are predicted.
        folder: folder to write into.
        class_names: of the predictions, by index.
        root: folder of the dataset; needed for nuScenes (tokens) and Waymo (shapes of the range images).

    Raises:
        UserError: the benchmark has other classes, ``root`` is needed, or the sweeps are not of the dataset.
    """
    layout = find_layout(source.manifest.dataset)
    starts: AbstractContextManager[WritePrediction]
    if layout.open_predictions is None:
        starts = _open_label_files(folder, class_names)
    elif layout.class_names != tuple(class_names):
        raise UserError(
            f"{source.path}: predictions of {', '.join(class_names):.200} do not fit {layout.name}, whose benchmark "
            f"has {', '.join(layout.class_names)}"
        )
    else:
        starts = layout.open_predictions(source, folder, root)
    with starts as write:

        def write_checked(sweep: CachedSweep, predicted: NDArray[np.integer]) -> None:
            if predicted.shape != (len(sweep.xyz),):
                shape = list(predicted.shape)
                raise ValueError(f"sweep {sweep.name} has {len(sweep.xyz)} points, its prediction {shape}")
            write(sweep, predicted)

        yield write_checked


@contextmanager
def _open_label_files(folder: OwnFolder, class_names: Sequence[str]) -> Generator[WritePrediction]:
    """Write ``classes.txt``, one name per line, and ``SEQUENCE/NAME.label``, uint32, one file per sweep."""
    listed = False

    def write(sweep: CachedSweep, predicted: NDArray[np.integer]) -> None:
        nonlocal listed
        if not listed:  # with the first file, so that nothing is written where nothing can be predicted
            folder.write("classes.txt", "".join(f"{name}\n" for name in class_names).encode())
            listed = True
        folder.write(f"{sweep.sequence}/{sweep.name}.label", predicted.astype("<u4").tobytes())

    yield write


def class_colors(class_names: Sequence[str]) -> NDArray[np.float64]:
    """Return the RGB of each class, 0 to 1, float64 [C, 3]: its dataset's own, else hues far apart; class 0 is dark."""
    import numpy as np

    from iscc_lidar.shared.base.palettes import UNLABELLED, distinct_colors, rgb

    for layout in all_layouts():
        known = dict(zip(layout.class_names, layout.colors, strict=False))
        if set(class_names) <= set(known):
            return np.array([rgb(known[name]) for name in class_names])
    return np.array([rgb(UNLABELLED), *distinct_colors(np.arange(1, len(class_names)))])


def require_root(root: Path | None, what: str) -> Path:
    """Return the folder of the dataset. Raises UserError if it was not given; ``what`` is what needs it."""
    if root is None:
        raise UserError(f"{what} needs --root: the folder of the dataset, as for iscc-preprocess")
    return root


def _names() -> set[str]:
    found = pkgutil.iter_modules(package.__path__)
    return {module.name for module in found if not module.ispkg and f"{package.__name__}.{module.name}" != __name__}
