"""What a run will cost, found out on a few stretches of its data: ``iscc-preprocess run --dry-run``.

The work grows with the sweeps that are read and with the windows that are clustered, the cache with the sweeps and the
blocks, a worker's memory with the sweeps of a block. Each has a part for either, so two lengths tell both: a stretch of
sweeps, and the first window of it alone, are processed in earnest, by the same tasks as a run, aside.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from io import StringIO
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
from tqdm import tqdm

from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import Dataset
from iscc_lidar.preprocess.estimate.peak_memory import peak_bytes
from iscc_lidar.preprocess.plan.plan import settled
from iscc_lidar.preprocess.plan.sequence_job import STEPS_FOLDER
from iscc_lidar.preprocess.run.run import preprocess
from iscc_lidar.preprocess.segment.windows import WindowConfig, plan_blocks, plan_windows
from iscc_lidar.shared.store.local import LocalStore
from iscc_lidar.shared.store.store import Store

STRETCHES: Final = 3
_WINDOWS: Final = 5  # of the longer length


@dataclass(frozen=True)
class Size:
    """How much there is to do.

    Attributes:
        sequences: their number.
        sweeps: their sweeps.
        windows: their windows.
        blocks: their blocks.
        reads: sweeps of the windows of each block, summed: what several blocks need is read by each.
        block_sweeps: sweeps of the longest block.
    """

    sequences: int
    sweeps: int
    windows: int
    blocks: int
    reads: int
    block_sweeps: int


@dataclass(frozen=True)
class Spent:
    """What processing a stretch took: CPU seconds, bytes of the cache and of the steps before it, and of memory."""

    cpu_s: float
    cache_bytes: int
    steps_bytes: int
    peak_bytes: int


@dataclass(frozen=True)
class Estimate:
    """What a run will take, by each stretch.

    Attributes:
        cpu_s: CPU seconds of all of it, on this machine.
        cache_bytes: size of the finished cache.
        steps_bytes: of what is kept beside it to spare work later.
        peak_bytes: memory of a worker.
    """

    cpu_s: tuple[float, ...]
    cache_bytes: tuple[float, ...]
    steps_bytes: tuple[float, ...]
    peak_bytes: tuple[float, ...]


@dataclass(frozen=True)
class Stretch:
    """Successive sweeps of a sequence as a data set of their own; see ``Dataset``."""

    dataset: Dataset
    sequence: str
    start: int
    stop: int

    @property
    def name(self) -> str:
        """See ``Dataset``."""
        return self.dataset.name

    @property
    def class_names(self) -> tuple[str, ...]:
        """See ``Dataset``."""
        return self.dataset.class_names

    def sequences(self) -> tuple[str, ...]:
        """See ``Dataset``."""
        return (self.sequence,)

    def splits(self) -> Mapping[str, tuple[str, ...]]:
        """See ``Dataset``."""
        return {}

    def sweep_names(self, sequence: str) -> tuple[str, ...]:
        """See ``Dataset``."""
        return self.dataset.sweep_names(sequence)[self.start : self.stop]

    def input_files(self, sequence: str, index: int) -> tuple[Path, ...]:
        """See ``Dataset``."""
        return self.dataset.input_files(sequence, self.start + index)

    def problems(self, sequence: str) -> Iterator[str]:
        """See ``Dataset``. None: the whole sequence is looked at elsewhere."""
        return iter(())

    def read(self, sequence: str, index: int) -> Sweep:
        """See ``Dataset``."""
        return self.dataset.read(sequence, self.start + index)


def size_of(sweeps: Sequence[int], config: WindowConfig) -> Size:
    """Say how much sequences of so many sweeps are."""
    blocks = [block for n in sweeps for block in plan_blocks(plan_windows(n, config), config)]
    return Size(
        len(sweeps),
        sum(sweeps),
        sum(len(block) for block in blocks),
        len(blocks),
        sum(block[-1].stop - block[0].start for block in blocks),
        max((block[-1].own_stop - block[0].own_start for block in blocks), default=0),
    )


def choose_stretches(
    dataset: Dataset, sequences: Sequence[str], config: WindowConfig, stretches: int = STRETCHES
) -> list[Stretch]:
    """Choose stretches from the middles of equal shares of all sweeps, each within one sequence."""
    length = config.sweeps + (_WINDOWS - 1) * config.stride
    counts = [len(dataset.sweep_names(sequence)) for sequence in sequences]
    ends = np.cumsum(counts)
    chosen = []
    for place in (2 * np.arange(stretches) + 1) * sum(counts) // (2 * stretches):
        k = int(np.searchsorted(ends, place, side="right"))
        start = max(0, min(int(place - ends[k] + counts[k]), counts[k] - length))
        chosen.append(Stretch(dataset, sequences[k], start, min(start + length, counts[k])))
    return list(dict.fromkeys(chosen))


def estimate(stretches: Sequence[Stretch], config: PreprocessConfig, sizes: Sequence[Size]) -> list[Estimate]:
    """Process stretches and say what runs of some sizes will take.

    Raises:
        UserError: a stretch cannot be processed.
    """
    config = settled(config)
    measured = []
    for stretch in tqdm(stretches, desc="trying stretches", unit="stretch", leave=False):
        first = min(config.window.sweeps, stretch.stop - stretch.start)
        lengths = sorted({first, stretch.stop - stretch.start})
        measured.append([(size_of([n], config.window), _spent(stretch, n, config)) for n in lengths])
    return [
        Estimate(
            tuple(_fitted(tried, "cpu_s", ("reads", "windows"), size) for tried in measured),
            tuple(_fitted(tried, "cache_bytes", ("sweeps", "blocks"), size) for tried in measured),
            tuple(_fitted(tried, "steps_bytes", ("sweeps", "blocks"), size) for tried in measured),
            tuple(
                _fitted(tried, "peak_bytes", ("block_sweeps", "sequences"), replace(size, sequences=1))
                for tried in measured
            ),
        )
        for size in sizes
    ]


def spend(dataset: Dataset, store: Store, config: PreprocessConfig) -> Spent:
    """Process a data set in this process and say what that took."""
    began = time.process_time()
    preprocess(dataset, store, config)
    cpu_s = time.process_time() - began
    sizes = store.files("")
    steps = sum(size for name, size in sizes.items() if name.startswith(STEPS_FOLDER))
    return Spent(cpu_s, sum(sizes.values()) - steps, steps, peak_bytes())


def _spent(stretch: Stretch, sweeps: int, config: PreprocessConfig) -> Spent:
    """Process the first sweeps of a stretch in a process of its own, whose memory tells nothing else."""
    part = Stretch(stretch.dataset, stretch.sequence, stretch.start, stretch.start + sweeps)
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(_process, part, config).result()


def _process(stretch: Stretch, config: PreprocessConfig) -> Spent:
    with tempfile.TemporaryDirectory() as folder, redirect_stderr(StringIO()):
        # What is imported, compiled and set up once a process is of no interest.
        preprocess(replace(stretch, stop=stretch.start + 1), LocalStore(Path(folder) / "once"), config)
        return spend(stretch, LocalStore(Path(folder) / "cache"), config)


def _fitted(tried: Sequence[tuple[Size, Spent]], value: str, grows_with: tuple[str, str], size: Size) -> float:
    """What is spent on a size, as a sum of two parts that grow with it as they did in what was tried."""
    from scipy.optimize import nnls

    factors = np.array([[getattr(done, name) for name in grows_with] for done, _ in tried], dtype=np.float64)
    values = np.array([getattr(spent, value) for _, spent in tried], dtype=np.float64)
    shares = nnls(factors, values)[0]  # neither takes back what the other spends
    return float(shares @ [getattr(size, name) for name in grows_with])
