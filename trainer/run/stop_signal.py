"""SIGTERM and Ctrl-C make a run finish its step, save, and end; pre-emptible machines send the first."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from iscc_lidar.trainer.hardware.distributed import is_first_process, world_size

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class StoppedError(Exception):
    """A signal ended a run early; what it had done is saved."""

    def __init__(self, number: int, step: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}: step {step} is saved, --resume continues from it")
        self.exit_status = 128 + number


@contextmanager
def exit_when_stopped() -> Iterator[None]:
    """End the program with the signal's exit status where a run was stopped; the first process prints why."""
    try:
        yield
    except StoppedError as stopped:
        if is_first_process():
            print(stopped, file=sys.stderr)
        raise SystemExit(stopped.exit_status) from None


@contextmanager
def stop_requests() -> Iterator[Callable[[], int]]:
    """Yield a function that returns the signal that has arrived, 0 for none.

    A second Ctrl-C interrupts at once, unless the first has been returned: then the end is under way. Outside the main
    thread, where Python takes no signals, it always returns 0. One of several processes that fails ignores SIGTERM from
    then on: torchrun sends it to all as soon as the first has ended, and the others still have to print why they end.
    """
    arrived = [0]

    def note(number: int, _: FrameType | None) -> None:
        if arrived[0] == number == signal.SIGINT:
            raise KeyboardInterrupt
        arrived[0] = number

    def stop_signal() -> int:
        if arrived[0]:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        return arrived[0]

    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    before = {number: signal.signal(number, note) for number in _STOP_SIGNALS}
    try:
        yield stop_signal
    except Exception:
        if world_size() > 1:
            before[signal.SIGTERM] = signal.SIG_IGN
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
