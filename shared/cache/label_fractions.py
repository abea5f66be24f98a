"""Which frames keep their labels: fractions drawn by seed, and lists of frames as text files.

A list holds one frame a line, as ``SEQUENCE/NAME``; blank lines and lines that start with ``#`` are skipped. Also
read are paths of the frame's files below any folder, ``.../00/velodyne/000123.bin``, and bare names where only one
sequence has them, as in KITTI's lists for detection.
"""

from __future__ import annotations

import difflib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import write_text

Frame = tuple[str, str]  # sequence, name

_GOLDEN: Final = (5**0.5 - 1) / 2


def draw_fractions(
    frames: Mapping[str, Sequence[str]], percents: Sequence[float], seed: int
) -> dict[float, list[Frame]]:
    """Draw nested fractions of frames: a smaller one's frames are all in a larger one.

    All frames are put in one order, of which a fraction is the start. Sequences take turns by Sainte-Laguë's rule
    (the j-th frame of n stands at (j + 1/2) / n, equal ones in an order by seed), so that each has its share, rounded.
    Within a sequence frames go by the fractional part of u + i * golden ratio, with u by seed: at any fraction the
    drawn ones are spread evenly over the sequence, with three different gaps between them at most.

    Args:
        frames: names of the frames of each sequence, in order of time. The order of sequences does not matter.
        percents: fractions, above 0 and up to 100.
        seed: other frames for another seed, not negative; the same for the same.

    Returns:
        For each fraction round(percent / 100 * frames) frames, one at least, by sequence, in order of time.

    Raises:
        UserError: no frames, a percentage out of range, a negative seed.
    """
    if seed < 0:
        raise UserError(f"seed: expected 0 or more, not {seed}")
    for percent in percents:
        if not 0 < percent <= 100:
            raise UserError(f"label fraction: expected a percentage above 0 and up to 100, not {percent:g}")
    order = _order(frames, seed)
    if not order:
        raise UserError("label fractions: there is no frame to draw from")
    counts = {percent: max(1, round(percent * len(order) / 100)) for percent in percents}
    return {percent: [(s, frames[s][i]) for s, i in sorted(order[:count])] for percent, count in counts.items()}


def write_list(path: Path, frames: Iterable[Frame], comment: str = "") -> None:
    """Write a list of frames in one step, below a comment of any number of lines."""
    lines = [f"# {line}" for line in comment.splitlines()] + [f"{sequence}/{name}" for sequence, name in frames]
    write_text(path, "".join(f"{line}\n" for line in lines))


def read_list(path: Path, known: Mapping[str, Sequence[str]]) -> list[Frame]:
    """Read a list of frames, in its order; a frame that it holds twice is taken once.

    Args:
        path: the list.
        known: names of the frames of each sequence, as for draw_fractions.

    Raises:
        UserError: not readable, empty, or with a frame that is unknown or in several sequences; names its line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a readable list of frames: {error}") from None
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
        raise UserError(f"{path}: holds no frame; expected one a line, as SEQUENCE/NAME")
    return list(dict.fromkeys(found))


def _order(frames: Mapping[str, Sequence[str]], seed: int) -> list[tuple[str, int]]:
    """All frames as (sequence, index), the first to be labelled first."""
    turns: list[tuple[float, float, str, int]] = []
    for sequence, names in frames.items():
        start, tie = np.random.default_rng([seed, zlib.crc32(sequence.encode())]).random(2).tolist()
        drawn = np.argsort((start + _GOLDEN * np.arange(len(names))) % 1, kind="stable")
        turns += [((j + 0.5) / len(names), tie, sequence, index) for j, index in enumerate(drawn.tolist())]
    return [(sequence, index) for _, _, sequence, index in sorted(turns)]


def _find(
    path: Path, number: int, text: str, known: Mapping[str, Sequence[str]], sequences_of: Mapping[str, list[str]]
) -> Frame:
    folder, _, file = text.replace("\\", "/").rpartition("/")
    for name in (file, file.split(".", 1)[0]):
        inside = [s for s in sequences_of.get(name, ()) if not folder or _place(s, folder) >= 0]
        if folder and inside:
            return max(inside, key=lambda s: (_place(s, folder), len(s))), name
        if len(inside) == 1:
            return inside[0], name
        if inside:
            some = ", ".join(sorted(inside)[:4]) + (", ..." if len(inside) > 4 else "")
            raise UserError(f"{path}, line {number}: frame {name} is in sequences {some}; write SEQUENCE/{name}")
    raise UserError(f"{path}, line {number}: no frame {text!r}{_hint(folder, file.split('.', 1)[0], known)}")


def _place(sequence: str, folder: str) -> int:
    """Where a sequence ends in a path of folders, -1 where it is not one of them."""
    start = f"/{folder}/".rfind(f"/{sequence}/")
    return -1 if start < 0 else start + len(sequence)


def _hint(folder: str, name: str, known: Mapping[str, Sequence[str]]) -> str:
    sequences = [s for s in known if _place(s, folder) >= 0]
    if folder and not sequences:
        shown = ", ".join(sorted(known)[:8]) + (", ..." if len(known) > 8 else "")
        return f": none of its folders is a sequence (there are: {shown or 'none'}); write SEQUENCE/NAME"
    pool = {frame: s for s in sequences or known for frame in known[s]}
    near = difflib.get_close_matches(name, pool, n=1)
    if near:
        return f"; did you mean {pool[near[0]]}/{near[0]}?"
    return f"; {len(pool)} frames are known, such as {next(iter(pool))}" if pool else "; no frame is known"
