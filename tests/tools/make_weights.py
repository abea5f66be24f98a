"""Remake the encoder ``small`` that comes with the package: simulate, preprocess, pre-train, put the weights in place.

python tests/tools/make_weights.py --pandaset ../shared/data/semantickitti_from_pandaset --work build/small

PandaSet (CC BY 4.0): scene 002, Pandar64 alone, as sequence 40 in SemanticKITTI's layout. What is already in ``--work``
is kept, so that an interrupted call goes on. About an hour on 2 busy cores.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from iscc_lidar.shared.base.files import sha256

REPOSITORY = Path(__file__).resolve().parents[2]
WEIGHTS = REPOSITORY / "src/iscc_lidar/api/weights"
STREETS = ("synth.sequences=24", "synth.sweeps=12", "synth.seed=7000")
# The lengths of make reproduce; one process makes its own samples, so that any number of cores gives the same weights.
TRAINING = ("train.steps=7000", "train.learning_rate=4e-3", "train.loader_workers=0", "train.keep_sweeps=340")
LARGEST_BYTES = 4_000_000


def main() -> None:
    """Make the weights, and their row in the table of digests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pandaset", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, help="fewer, to try this script")
    arguments = parser.parse_args()
    data, cache, run = (arguments.work / name for name in ("data", "cache", "run"))
    simulated = arguments.work / "simulated"
    call("iscc-preprocess", "synth", simulated, options=STREETS)
    for sequence in [*(simulated / "sequences").iterdir(), arguments.pandaset / "sequences/40"]:
        copy = data / "sequences" / sequence.name
        if not copy.exists():
            shutil.copytree(sequence, copy.with_name(f".{copy.name}"), dirs_exist_ok=True)
            copy.with_name(f".{copy.name}").rename(copy)
    call("iscc-preprocess", "run", "semantickitti", "--root", data, "--cache", cache)
    steps = () if arguments.steps is None else (f"train.steps={arguments.steps}",)
    training = ("iscc-train", "pretrain", "--cache", cache, "--out", run, "--resume", "--recipe", "quick")
    call(*training, options=(*TRAINING, *steps))
    if arguments.steps is None:
        install(run / "encoder.safetensors")


def install(weights: Path) -> None:
    """Put weights into the package, and their digest into its table."""
    size = weights.stat().st_size
    if size > LARGEST_BYTES:
        raise SystemExit(f"{weights}: {size} bytes, at most {LARGEST_BYTES} may come with the package")
    digest, table = sha256(weights), WEIGHTS / "__init__.py"
    shutil.copyfile(weights, WEIGHTS / "small.safetensors")
    table.write_text(re.sub(r'"small": "\w*",.*', f'"small": "{digest}",', table.read_text()))
    print(f"small.safetensors: {size:,} bytes, SHA-256 {digest}")


def call(*command: object, options: Sequence[str] = ()) -> None:
    """Run a program of the package, with options as ``--set``."""
    sets = [word for option in options for word in ("--set", option)]
    subprocess.run([*map(str, command), *sets], check=True)


if __name__ == "__main__":
    main()
