"""Write many procedural sequences in parallel, with a progress bar."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.write import refuse_foreign, write_sequence
from iscc_lidar.shared.base.config import section


@dataclass(frozen=True)
class SynthCommand:
    """All options of ``iscc-preprocess synth``."""

    synth: SynthConfig = section(SynthConfig)


def generate(root: Path, config: SynthConfig, workers: int) -> None:
    """Write all sequences below root in ``workers`` processes, 0 for this one. See ``write_sequence``.

    Raises UserError where the folder contains anything but such sequences.
    """
    refuse_foreign(root)
    with tqdm(total=config.sequences * config.sweeps, desc="synth", unit="sweep") as bar:
        if workers == 0:
            for index in range(config.sequences):
                write_sequence(root, config, index)
                bar.update(config.sweeps)
            return
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
            written = [pool.submit(write_sequence, root, config, index) for index in range(config.sequences)]
            for done in as_completed(written):
                try:
                    done.result()
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
                bar.update(config.sweeps)
