"""Score spread boxes: how many are right, how many are found, by kind.

python tests/tools/spread_boxes.py cache/synthetic 00 --labelled 4
python tests/tools/spread_boxes.py cache/pandaset 40 --labelled 26 --kitti ../shared/data/kitti_detection_from_pandaset

Right: the overlap with a labelled box of this kind, seen from above, is more than 0.5. Found: such a box overlaps a
labelled one with five points or more. Missed: neither found nor in an area marked as unknown. ``--kitti`` takes the
boxes of the sweeps from frames of KITTI's object benchmark of the same numbers; only those in the image count.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes, Camera, points_in_box
from iscc_lidar.data_schemas.spread import FROM_GROUP, FROM_POSITION, UNKNOWN_KIND
from iscc_lidar.preprocess.datasets import _kitti_object
from iscc_lidar.preprocess.spread.rule import SpreadConfig
from iscc_lidar.preprocess.spread.run import spread
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.spread_labels import SpreadLabels
from iscc_lidar.shared.store.local import LocalStore
from iscc_lidar.trainer.evaluation.detection.objects import upright
from iscc_lidar.trainer.evaluation.detection.overlap import ground_iou

LEAST_POINTS = 5
OVERLAP = 0.5


class BoxedCache(Cache):
    """A cache with the boxes and cameras of KITTI frames."""

    def __init__(self, where: Path, root: Path) -> None:
        super().__init__(where)
        self._root = root

    def boxed_sweeps(self, sequence: str) -> list[int]:
        """See ``Cache``."""
        return list(range(self.sequence(sequence).sweeps))

    def boxes(self, sequence: str, index: int) -> Boxes:
        """See ``Cache``."""
        boxes = self._frame(index)[0]
        return boxes.take(np.flatnonzero(np.isfinite(boxes.centre).all(axis=1)))

    def camera(self, sequence: str, index: int) -> Camera:
        """See ``Cache``."""
        return self._frame(index)[1]

    def _frame(self, index: int) -> tuple[Boxes, Camera]:
        boxes, camera = _kitti_object.read_boxes(self._root, f"training_{index:06d}")
        assert boxes is not None
        assert camera is not None
        return boxes, camera


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("sequence")
    parser.add_argument("--labelled", type=int, nargs="+", required=True)
    parser.add_argument("--kitti", type=Path)
    given = parser.parse_args()
    cache = Cache(given.cache) if given.kitti is None else BoxedCache(given.cache, given.kitti)
    names = cache.sweep_names(given.sequence)
    facts: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    with TemporaryDirectory() as temporary:
        out = LocalStore(Path(temporary) / "out")
        spread(cache, out, [(given.sequence, names[index]) for index in given.labelled], SpreadConfig())
        labels = SpreadLabels(out.root, cache)
        for index in sorted(set(cache.boxed_sweeps(given.sequence)) - set(given.labelled)):
            count(cache, labels, given.sequence, index, facts)
    print("| class | standing: right | moving: right | found | missed |")
    for kind, of_kind in sorted(facts.items()):
        cells = [of_kind[name] for name in ("standing", "moving", "found", "missed")]
        print(f"| {kind} | {' | '.join(f'{np.mean(c):.3f} of {len(c)}' if c else '' for c in cells)} |")


def count(
    cache: Cache, labels: SpreadLabels, sequence: str, index: int, facts: dict[str, dict[str, list[bool]]]
) -> None:
    """Add the boxes of a sweep to the counts."""
    spread_here, true = labels.boxes(sequence, index), cache.boxes(sequence, index)
    camera = cache.camera(sequence, index)
    assert true is not None
    seen = np.arange(len(spread_here.boxes))
    seen = seen if camera is None else np.flatnonzero(camera.sees(spread_here.boxes.centre))
    found, source = spread_here.boxes.take(seen), spread_here.source[seen]
    right = (overlaps(found, true) > OVERLAP) & (found.kind[:, None] == true.kind[None])
    for k, kind in enumerate(found.kind.tolist()):
        if kind != UNKNOWN_KIND:
            name = {FROM_POSITION: "standing", FROM_GROUP: "moving"}[int(source[k])]
            facts[kind][name].append(bool(right[k].any()))
    areas = found.take(np.flatnonzero(found.kind == UNKNOWN_KIND))
    unknown = (overlaps(replace(areas, size=areas.size + 1.0), true) > 0).sum(axis=0)
    xyz = cache.sweep(sequence, index, without=("semantic", "queries", "pixel")).xyz
    for k, kind in enumerate(true.kind.tolist()):
        if points_in_box(xyz, true.centre[k], true.size[k], float(true.heading[k])).sum() >= LEAST_POINTS:
            facts[kind]["found"].append(bool(right[:, k].any()))
            facts[kind]["missed"].append(not right[:, k].any() and not unknown[k])


def overlaps(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    """Return the overlap of boxes seen from above, intersection over union, [A, B]."""
    rows, columns = np.divmod(np.arange(len(a) * len(b)), max(len(b), 1))
    return ground_iou(upright(a.take(rows)), upright(b.take(columns))).reshape(len(a), len(b))


if __name__ == "__main__":
    main()
