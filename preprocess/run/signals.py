"""SIGINT and SIGTERM end a run alike: as one KeyboardInterrupt, after which workers are stopped undisturbed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt for the first signal, with the exit status as its argument, and ignore later ones."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        if before[number] != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in _SIGNALS:
            signal.signal(number, before[number])


@contextmanager
def postponed() -> Iterator[None]:
    """Postpone a signal to the end of the block: workers that are only half started cannot be stopped cleanly."""
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    if _interrupt not in handlers.values():
        yield
        return
    received: list[int] = []
    for number in _SIGNALS:
        signal.signal(number, lambda number, _frame: received.append(number))
    try:
        yield
    except Exception:  # workers that the signal reached too, perhaps
        if not received:
            raise
    finally:
        for number in _SIGNALS:
            signal.signal(number, handlers[number])
    if received:
        _interrupt(received[0], None)


def _interrupt(number: int, _frame: Any) -> None:
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt(128 + number)
