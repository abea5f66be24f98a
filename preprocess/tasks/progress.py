"""Progress in sweeps, reported by tasks in any process, shown as a bar on the user's screen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from distributed import Client, get_worker
from tqdm import tqdm

_TOPIC = "iscc-sweeps"
_local_listener: list[Callable[[float], None]] = []


def report_sweeps(sweeps: float) -> None:
    """Report that the work of this many sweeps is done; callable on a Dask worker or in the main process."""
    for listen in _local_listener:
        listen(sweeps)
    if not _local_listener:
        with suppress(ValueError):  # neither on a worker nor under a bar
            get_worker().log_event(_TOPIC, sweeps)


@contextmanager
def sweep_bar(total: int, client: Client | None, title: str = "preprocess") -> Iterator[None]:
    """Show a bar with sweeps/s and the remaining time, fed by ``report_sweeps`` here or on the client's workers."""
    bar_format = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total} sweeps [{elapsed}<{remaining}, {rate_fmt}]"
    with tqdm(total=total, desc=title, unit="sweep", bar_format=bar_format, file=sys.stderr) as bar:

        def advance(sweeps: float) -> None:
            bar.update(min(sweeps, total - bar.n))  # a repeated task reports twice

        if client is None:
            _local_listener.append(advance)
            try:
                yield
            finally:
                _local_listener.clear()
        else:
            client.subscribe_topic(_TOPIC, lambda event: advance(event[1]))
            try:
                yield
            finally:
                client.unsubscribe_topic(_TOPIC)
