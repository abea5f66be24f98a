"""Selection of the labelled sweeps: by a list, or a fraction drawn by seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from iscc_lidar.shared.base.config import check_ranges, option
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.label_fractions import draw_fractions, read_list
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.places import Place, listed_places, places_of, sweep_names


@dataclass(frozen=True)
class LabelConfig:
    """Drawing of the labelled sweeps; unused with a list."""

    percent: float = option(
        100.0, "share of the training sweeps whose labels are used, percent; nested", above=0, at_most=100
    )
    sweeps: int = option(0, "number of sweeps whose labels are used; 0: a percentage", at_least=0, at_most=10**9)
    seed: int = option(0, "another seed draws other sweeps", at_least=0)

    def __post_init__(self) -> None:
        check_ranges(self, "labels")


def choose_labelled(
    cache: Cache,
    config: LabelConfig,
    labelled_sweeps: Callable[[Cache], list[Place]],
    listed: Path | None = None,
    among: Path | None = None,
) -> tuple[list[Place], int]:
    """Choose the labelled sweeps of a cache; return the number of sweeps to choose from too.

    Args:
        cache: the training sweeps.
        config: how many to draw.
        labelled_sweeps: lists all sweeps that have labels.
        listed: list of the sweeps to return; nothing is drawn, and ``among`` is not used.
        among: list of the sweeps to draw from; None draws from all that have labels.

    Raises:
        UserError: a list is unreadable or names a sweep that is not in the cache, or fewer sweeps have labels.
    """
    names = sweep_names(cache)
    chosen = set(read_list(among, names)) if among is not None and listed is None else None
    available: dict[str, list[str]] = {sequence: [] for sequence in names}
    for sequence, index in labelled_sweeps(cache):
        name = names[sequence][index]
        if chosen is None or (sequence, name) in chosen:
            available[sequence].append(name)
    count = sum(map(len, available.values()))
    if listed is not None:
        return listed_places(cache, listed), count
    if config.sweeps > count:
        raise UserError(f"labels.sweeps={config.sweeps}: only {count} sweeps of {cache.path} can be drawn")
    percent = 100 * config.sweeps / count if config.sweeps else config.percent
    return places_of(draw_fractions(available, [percent], config.seed)[percent], names), count
