"""Which sweeps keep their labels: fractions drawn by seed, and lists of sweeps as text files.

A list has one sweep per line, as ``SEQUENCE/NAME``; blank lines and lines that start with ``#`` are skipped. Paths of
the sweep's files below any folder, ``.../00/velodyne/000123.bin``, are also read, and so are bare names that occur in
only one sequence, as in KITTI's lists for detection.
"""

from __future__ import annotations

import difflib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_text
from iscc_lidar.shared.base.own import write_own_file
from iscc_lidar.shared.cache.reader import Cache

SweepName = tuple[str, str]  # sequence, name

_MARK: Final = "# written by iscc-lidar"
_GOLDEN: Final = (5**0.5 - 1) / 2


def draw_fractions(
    sweeps: Mapping[str, Sequence[str]], percents: Sequence[float], seed: int
) -> dict[float, list[SweepName]]:
    """Draw nested fractions of sweeps: a larger one contains all sweeps of a smaller one.

    All sweeps are put in one order, and each fraction is the start of it. Sequences alternate by Sainte-Laguë's rule
    (the j-th sweep of n has position (j + 1/2) / n, ties are ordered by seed), so that each has its share, rounded.
    Within a sequence, sweeps are ordered by the fractional part of u + i * golden ratio, with u by seed: any fraction
    is spread evenly over the sequence, with at most three different gaps.

    Args:
        sweeps: names of the sweeps of each sequence, in order of time. The order of sequences does not matter.
        percents: fractions, above 0 and up to 100.
        seed: at least 0; another seed draws other sweeps.

    Returns:
        For each fraction round(percent / 100 * sweeps) sweeps, at least one, by sequence, in order of time.

    Raises:
        UserError: no sweeps, a percentage out of range, a negative seed.
    """
    if seed < 0:
        raise UserError(f"seed: expected 0 or more, not {seed}")
    for percent in percents:
        if not 0 < percent <= 100:
            raise UserError(f"label fraction: expected a percentage above 0 and up to 100, not {percent:g}")
    order = _order(sweeps, seed)
    if not order:
        raise UserError("label fractions: there is no sweep to draw from")
    counts = {percent: max(1, round(percent * len(order) / 100)) for percent in percents}
    return {percent: [(s, sweeps[s][i]) for s, i in sorted(order[:count])] for percent, count in counts.items()}


def labelled_names(cache: Cache, boxes: bool) -> dict[str, list[str]]:
    """Return the names of the sweeps that have labels, classes of points or ``boxes``, of each sequence.

    Raises UserError where none has.
    """
    found: dict[str, list[str]] = {}
    for sequence in cache.sequence_names:
        names = cache.sweep_names(sequence)
        indices = cache.boxed_sweeps(sequence) if boxes else cache.labelled_sweeps(sequence)
        found[sequence] = [names[index] for index in indices]
    if not any(found.values()):
        what, other = ("boxes", "classes") if boxes else ("semantic labels", "boxes")
        raise UserError(f"{cache.path}: no sweep has {what}; draw among those with others by --labels {other}")
    return found


def list_text(sweeps: Iterable[SweepName], comment: str = "") -> str:
    """Format a list of sweeps, below a comment of any number of lines."""
    rows = (f"{sequence}/{name}" for sequence, name in sweeps)
    lines = [*(f"# {line}" for line in comment.splitlines()), *(f"./{r}" if r.startswith("#") else r for r in rows)]
    return "".join(f"{line}\n" for line in lines)


def write_list(path: Path, sweeps: Iterable[SweepName], comment: str = "") -> None:
    """Write a list of sweeps in one step; one of another origin is not replaced, for which UserError is raised."""
    write_own_file(path, f"{_MARK}\n{list_text(sweeps, comment)}".encode(), _MARK.encode())


def read_list(path: Path, known: Mapping[str, Sequence[str]]) -> list[SweepName]:
    """Read a list of sweeps, in its order and without duplicates; ``known`` are the names as for draw_fractions.

    Raises UserError if the list is unreadable or empty, or a sweep is unknown or in several sequences; names its line.
    """
    try:
        lines = read_text(path, "a readable list of sweeps").split("\n")
    except FileNotFoundError:
        raise UserError(f"{path}: not a readable list of sweeps: no such file") from None
    sequences_of: dict[str, list[str]] = {}
    for sequence, names in known.items():
        for name in names:
            sequences_of.setdefault(name, []).append(sequence)
    found = [
        _find(path, number, line.strip(), known, sequences_of)
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not found:
        raise UserError(f"{path}: contains no sweep; expected one per line, as SEQUENCE/NAME")
    return list(dict.fromkeys(found))


def _order(sweeps: Mapping[str, Sequence[str]], seed: int) -> list[tuple[str, int]]:
    """Order all sweeps, as (sequence, index), by when they are labelled."""
    order: list[tuple[float, float, str, int]] = []
    for sequence, names in sweeps.items():
        start, tie = np.random.default_rng([seed, zlib.crc32(sequence.encode())]).random(2).tolist()
        drawn = np.argsort((start + _GOLDEN * np.arange(len(names))) % 1, kind="stable")
        order += [((j + 0.5) / len(names), tie, sequence, index) for j, index in enumerate(drawn.tolist())]
    return [(sequence, index) for _, _, sequence, index in sorted(order)]


def _find(
    path: Path, number: int, text: str, known: Mapping[str, Sequence[str]], sequences_of: Mapping[str, list[str]]
) -> SweepName:
    folder, _, file = text.replace("\\", "/").rpartition("/")
    for name in (file, file.split(".", 1)[0]):
        inside = [s for s in sequences_of.get(name, ()) if not folder or _end_in(s, folder) >= 0]
        if folder and inside:
            return max(inside, key=lambda s: (_end_in(s, folder), len(s))), name
        if len(inside) == 1:
            return inside[0], name
        if inside:
            some = ", ".join(sorted(inside)[:4]) + (", ..." if len(inside) > 4 else "")
            raise UserError(f"{path}, line {number}: sweep {name} is in sequences {some}; write SEQUENCE/{name}")
    raise UserError(f"{path}, line {number}: no sweep {text!r}{_hint(folder, file.split('.', 1)[0], known)}")


def _end_in(sequence: str, folder: str) -> int:
    """Return the end of a sequence's name within a path that contains it as a folder, -1 if it does not."""
    start = f"/{folder}/".rfind(f"/{sequence}/")
    return -1 if start < 0 else start + len(sequence)


def _hint(folder: str, name: str, known: Mapping[str, Sequence[str]]) -> str:
    sequences = [s for s in known if _end_in(s, folder) >= 0]
    if folder and not sequences:
        shown = ", ".join(sorted(known)[:8]) + (", ..." if len(known) > 8 else "")
        return f": none of its folders is a sequence (there are: {shown or 'none'}); write SEQUENCE/NAME"
    pool = {sweep: s for s in sequences or known for sweep in known[s]}
    near = difflib.get_close_matches(name, pool, n=1)
    if near:
        return f"; did you mean {pool[near[0]]}/{near[0]}?"
    return f"; {len(pool)} sweeps are known, such as {next(iter(pool))}" if pool else "; no sweep is known"
