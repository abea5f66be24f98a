"""Problems of a sequence with the sweeps that have them, and tables of which single rows are faulty."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from iscc_lidar.preprocess.datasets.registry import DataProblem
from iscc_lidar.shared.base.errors import UserError

_NAMED: Final = 8  # sweeps that a message names
_VARIES: Final = re.compile(r"'[^']*'|[0-9a-f]*[0-9][0-9a-f]*")
"""What differs between messages of the same kind of fault: names, numbers, tokens, what was found."""

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True)
class Rows(Generic[K, V]):
    """Rows of a table by their keys. A faulty row fails the sweeps that need it, not the table.

    Attributes:
        good: the rows that can be used.
        faults: of each other row, where it is and what is wrong with it.
    """

    good: Mapping[K, V]
    faults: Mapping[K, str]

    def __contains__(self, key: K) -> bool:
        return key in self.good or key in self.faults

    def __len__(self) -> int:
        return len(self.good) + len(self.faults)

    def __getitem__(self, key: K) -> V:
        """Return a row. Raises UserError where it is faulty, KeyError where it is missing."""
        if key in self.faults:
            raise UserError(self._message(key))
        return self.good[key]

    def problems(self, keys: Sequence[K]) -> Iterator[DataProblem]:
        """Describe the faulty rows once; ``keys`` are the rows that the sweeps need, in order."""
        sweeps = tuple(position for position, key in enumerate(keys) if key in self.faults)
        if self.faults:
            yield DataProblem(self._message(keys[sweeps[0]] if sweeps else next(iter(self.faults))), sweeps)

    def _message(self, key: K) -> str:
        return f"{self.faults[key]} ({len(self.faults)} of {len(self)} entries are faulty)"


def collect_problems(
    checks: Iterable[Callable[[], object]],
    names: Sequence[str] = (),
    sweep_checks: Iterable[Callable[[str], object]] = (),
) -> Iterator[DataProblem]:
    """Run the checks of a sequence, then those of its sweeps, by ``names``; yields what the UserErrors describe.

    Of the sweeps that have the same kind of fault, the first is described and all are counted. What the sequence or the
    same sweep has already is not repeated.
    """
    of_sequence = dict.fromkeys(message for check in checks if (message := _error(check)))
    yield from map(DataProblem, of_sequence)
    alike: dict[str, dict[int, str]] = {}  # by kind of fault, of each sweep
    for check in sweep_checks:
        for position, name in enumerate(names):
            message = _error(check, name)
            if message and message not in of_sequence:
                alike.setdefault(_VARIES.sub("", message), {}).setdefault(position, message)
    for faults in alike.values():
        yield DataProblem(next(iter(faults.values())) + _counted(list(faults), names), tuple(faults))


def _error(check: Callable[..., object], *arguments: str) -> str:
    try:
        check(*arguments)
    except UserError as error:
        return str(error)
    return ""


def _counted(sweeps: Sequence[int], names: Sequence[str]) -> str:
    """Count the sweeps that have a fault and name the first; nothing for a single one, which the message names."""
    if len(sweeps) < 2:
        return ""
    listed = ", ".join(names[position] for position in sweeps[:_NAMED]) + (", ..." if len(sweeps) > _NAMED else "")
    return f" ({len(sweeps)} of {len(names)} sweeps have such a fault: {listed})"
