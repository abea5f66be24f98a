"""Count how many planted label errors ``iscc-cache audit`` lists within the first 150 lines.

python tests/tools/score_audit.py cache/pandaset 40 ../shared/data/semantickitti_from_pandaset build/planted

``plant_label_errors.py`` wrote the last folder. Of each of its copies an equal share of the lines counts. An error is
found by a line whose group has half of the changed points, or consists of them by half, in the sweeps of the error.
"""

from __future__ import annotations

import argparse
import functools
import json
import operator
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from iscc_lidar.preprocess.audit.run import audit
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.layouts.formats.label_files import LabelSource, open_label_files

LINES = 150
SHARE = 0.5


def main() -> None:
    """Print a row for each kind of error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("sequence")
    parser.add_argument("root", type=Path)
    parser.add_argument("planted", type=Path)
    given = parser.parse_args()
    cache = Cache(given.cache)
    copies = sorted(path for path in given.planted.iterdir() if path.is_dir())
    found: dict[str, list[bool]] = defaultdict(list)
    for copy in copies:
        labels = LabelSource(cache, open_label_files(copy, cache.manifest.class_names))
        groups = [finding.group for _, finding in audit(labels, [given.sequence])][: LINES // len(copies)]
        for error in json.loads((copy / "sequences" / given.sequence / "planted.json").read_text()):
            meant = changed_groups(cache, given, copy, error["instance"], error["sweeps"])
            found[error["kind"]].append(not meant.isdisjoint(groups))
    for kind, of_kind in [*sorted(found.items()), ("all", functools.reduce(operator.iadd, found.values(), []))]:
        print(f"{kind}: {sum(of_kind)} of {len(of_kind)} within the first {LINES // len(copies)} lines of their copy")


def changed_groups(cache: Cache, given: argparse.Namespace, copy: Path, instance: int, sweeps: list[int]) -> set[int]:
    """Return the groups that have half of the changed points of an object, or consist of them by half."""
    changed, size, total = Counter[int](), Counter[int](), 0
    for index in sweeps:
        file = f"sequences/{given.sequence}/labels/{cache.sweep_names(given.sequence)[index]}.label"
        before, after = (np.fromfile(root / file, "<u4") for root in (given.root, copy))
        wrong = (before != after) & (before >> 16 == instance)
        label = cache.label(given.sequence, index)
        changed.update(label[wrong & (label >= 0)].tolist())
        size.update(label[label >= 0].tolist())
        total += int(wrong.sum())
    return {group for group, points in changed.items() if points >= SHARE * min(total, size[group])}


if __name__ == "__main__":
    main()
