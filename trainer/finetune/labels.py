"""Which sweeps have labels: a list of the user's, or a fraction that is drawn by seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from iscc_lidar.shared.base.config import option
from iscc_lidar.shared.cache.label_fractions import draw_fractions, read_list
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.places import Place, listed_places, places_of, sweep_names


@dataclass(frozen=True)
class LabelConfig:
    """Which sweeps have labels, where no list says so."""

    percent: float = option(100.0, "share of the training sweeps that keep their labels, percent; nested")
    seed: int = option(0, "another seed draws other sweeps")

    def __post_init__(self) -> None:
        if not 0 < self.percent <= 100:
            raise ValueError(f"labels.percent must lie above 0 and up to 100, not {self.percent}")
        if self.seed < 0:
            raise ValueError(f"labels.seed must be 0 or more, not {self.seed}")


def labelled_places(
    cache: Cache,
    config: LabelConfig,
    every: Callable[[Cache], list[Place]],
    listed: Path | None = None,
    among: Path | None = None,
) -> list[Place]:
    """Choose the labelled sweeps of a cache.

    Args:
        cache: the training sweeps.
        config: the fraction that is drawn, of all sweeps with labels or of those in the list ``among``.
        every: gives all sweeps that have labels, see Task.
        listed: a list that says it all; nothing is drawn then.
        among: see config.

    Raises:
        UserError: a list that is not readable or names a sweep which the cache does not hold; no sweep has labels.
    """
    if listed is not None:
        return listed_places(cache, listed)
    names = sweep_names(cache)
    known = _labelled(cache, names, every, among)
    return places_of(draw_fractions(known, [config.percent], config.seed)[config.percent], names)


def count_labelled(cache: Cache, every: Callable[[Cache], list[Place]], among: Path | None = None) -> int:
    """How many sweeps have labels, of the cache or of a list. Raises UserError as labelled_places."""
    return sum(map(len, _labelled(cache, sweep_names(cache), every, among).values()))


def scored_places(cache: Cache, listed: Path | None, every: Callable[[Cache], list[Place]]) -> list[Place]:
    """All sweeps of a cache that have labels, or those of a list. Raises UserError as labelled_places."""
    if listed is None:
        return every(cache)
    return listed_places(cache, listed)


def _labelled(
    cache: Cache, names: dict[str, list[str]], every: Callable[[Cache], list[Place]], among: Path | None
) -> dict[str, list[str]]:
    """Names of the sweeps that have labels, of each sequence, where a list is given only of those in it."""
    chosen = set(read_list(among, names)) if among is not None else None
    found: dict[str, list[str]] = {sequence: [] for sequence in names}
    for sequence, index in every(cache):
        name = names[sequence][index]
        if chosen is None or (sequence, name) in chosen:
            found[sequence].append(name)
    return found
