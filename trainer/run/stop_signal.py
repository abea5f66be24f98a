"""SIGTERM and Ctrl-C ask a run to finish its step, save, and end; pre-emptible machines send the first."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from iscc_lidar.trainer.hardware.distributed import is_first_process

_ASKS: Final = (signal.SIGTERM, signal.SIGINT)


class StoppedError(Exception):
    """A run ended early because it was asked to; what it had done is saved."""

    def __init__(self, number: int, step: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}: step {step} is saved, --resume goes on from it")
        self.exit_status = 128 + number


@contextmanager
def exit_when_stopped() -> Iterator[None]:
    """End the program with the signal's exit status where a run was stopped; the first process says so."""
    try:
        yield
    except StoppedError as stopped:
        if is_first_process():
            print(stopped, file=sys.stderr)
        raise SystemExit(stopped.exit_status) from None


@contextmanager
def stop_requests() -> Iterator[Callable[[], int]]:
    """Yield a function that tells which signal has asked to stop, 0 for none.

    A second Ctrl-C interrupts at once, unless the first has been told of: then the end is under way. Outside the main
    thread, where Python takes no signals, nothing asks.
    """
    asked = [0]

    def note(number: int, _: FrameType | None) -> None:
        if asked[0] == number == signal.SIGINT:
            raise KeyboardInterrupt
        asked[0] = number

    def told() -> int:
        if asked[0]:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        return asked[0]

    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    before = {number: signal.signal(number, note) for number in _ASKS}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
