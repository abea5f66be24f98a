"""Score clicks: how many points of a sequence few named groups label, and how many of these are right.

python tests/tools/score_clicks.py cache/pandaset 40 --clicks 10 30 100

A click names a group by the class of most of its points, as a person would; the groups with most points come first. It
is a row of a table of corrections, which ``iscc-cache import`` makes labels of. Labels in the cache are the truth;
points without one count in the first two columns alone.
"""

from __future__ import annotations

import argparse
import contextlib
import io
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.corrections.table import Correction, write_corrections
from iscc_lidar.shared.corrections.write import import_corrections
from iscc_lidar.shared.layouts.formats.label_files import open_label_files


def main() -> None:
    """Print a row for each number of clicks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("sequence")
    parser.add_argument("--clicks", type=int, nargs="+", default=[10])
    given = parser.parse_args()
    cache = Cache(given.cache)
    clicks = clicks_of(cache, given.sequence)
    print("| clicks | points with a class | of those in groups | right | classes |")
    print("|---|---|---|---|---|")
    for number in given.clicks:
        print(row(cache, given.sequence, clicks[:number]), flush=True)


def clicks_of(cache: Cache, sequence: str) -> list[Correction]:
    """Return a correction for each group with a labelled point, those with most points first."""
    names, groups = cache.manifest.class_names, cache.group_ids(sequence)
    truth, points = np.zeros((len(groups), len(names)), np.int64), np.zeros(len(groups), np.int64)
    labelled = set(cache.labelled_sweeps(sequence))
    for index in range(cache.sequence(sequence).sweeps):
        label = cache.label(sequence, index)
        inside = label >= 0
        row = np.searchsorted(groups, label[inside])
        points += np.bincount(row, minlength=len(groups))
        if index in labelled:
            np.add.at(truth, (row, cache.classes(sequence, index)[inside]), 1)
    truth[:, 0] = 0
    order = [k for k in np.argsort(-points, kind="stable").tolist() if truth[k].any()]
    return [Correction(sequence, int(groups[k]), None, names[int(truth[k].argmax())]) for k in order]


def row(cache: Cache, sequence: str, clicks: list[Correction]) -> str:
    """Import clicks, and return how much they label."""
    with TemporaryDirectory() as temporary, contextlib.redirect_stderr(io.StringIO()):
        table, out = Path(temporary) / "clicks.csv", Path(temporary) / "out"
        table.write_bytes(write_corrections(clicks))
        made = import_corrections(cache, table, out, cache.manifest.class_names)
        files = open_label_files(out, cache.manifest.class_names)
        grouped, known, right = 0, 0, 0
        labelled = set(cache.labelled_sweeps(sequence))
        for index, name in enumerate(cache.sweep_names(sequence)):
            found: NDArray[np.uint8] = files.read(sequence, name, cache.points(sequence, index))
            grouped += np.count_nonzero(cache.label(sequence, index) >= 0)
            if index in labelled:
                truth = cache.classes(sequence, index)
                both = (found > 0) & (truth > 0)
                known, right = known + np.count_nonzero(both), right + np.count_nonzero(both & (found == truth))
    classes = ", ".join(sorted({str(click.class_name) for click in clicks}))
    share, of_grouped = made.labelled_points / made.points, made.labelled_points / grouped
    return f"| {len(clicks)} | {share:.3f} | {of_grouped:.3f} | {right / max(known, 1):.3f} | {classes} |"


if __name__ == "__main__":
    main()
