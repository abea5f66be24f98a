"""Open randomly damaged inputs: none may cause a stack trace, a hang, or a change outside the output folder.

    python tests/tools/fuzzing.py READER --seed 0 --count 100    # the readers: --help
    python tests/tools/fuzzing.py READER --seed 4711 --keep DIR  # one input again, left in DIR

Each input is a copy of a small sound one, damaged by ``mutations.mutate`` by a seed of its own, which a failure prints.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import hashlib
import io
import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
import numpy as np

from iscc_lidar.shared.base.errors import UserError

from mutations import mutate

HANG_S: Final = 30
MEMORY_BYTES: Final = 2 * 2**30
"""By how much the process may grow beyond its size at the start; inputs are of a few hundred kilobytes."""

Open = Callable[[Path, Path, np.random.Generator], None]


@dataclass(frozen=True)
class Reader:
    """Something that opens files of others: how to write a small sound input, and how to open one."""

    write: Callable[[Path], None]
    open: Open


class HangError(BaseException):
    """An input kept its reader busy for too long; no reader may catch it."""


def main() -> int:
    """Fuzz a reader; status 1 if an input failed."""
    from readers import READERS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader", choices=sorted(READERS))
    parser.add_argument("--seed", type=int, default=0, help="of the first input")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--sound", type=Path, help="folder of the sound input, made before")
    parser.add_argument("--keep", type=Path, help="leave the damaged inputs here")
    args = parser.parse_args()
    reader = READERS[args.reader]
    with tempfile.TemporaryDirectory() as temporary:
        sound = args.sound or (args.keep or Path(temporary)) / "sound"
        if not sound.exists():
            sound.parent.mkdir(parents=True, exist_ok=True)
            reader.write(sound)
        work = args.keep or sound.parent  # next to the sound input lies what was made for it, as the cache of a run
        failed = 0
        for seed in range(args.seed, args.seed + args.count):
            if problem := try_input(reader, sound, work, seed, keep=args.keep is not None):
                failed += 1
                print(json.dumps({"seed": seed, "failed": problem}), flush=True)
    return 1 if failed else 0


def fuzz(name: str, count: int, first_seed: int = 0) -> Iterator[str]:
    """Yield a description of each input that failed, also of one that crashed the process."""
    from readers import READERS

    with tempfile.TemporaryDirectory() as temporary:
        sound = Path(temporary) / "sound"
        READERS[name].write(sound)
        seed, stop = first_seed, first_seed + count
        while seed < stop:
            numbers = ("--seed", str(seed), "--count", str(stop - seed))
            call = [sys.executable, __file__, name, *numbers, "--sound", str(sound)]
            done = subprocess.run(call, capture_output=True, text=True)
            lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
            yield from (f"{name} --seed {line['seed']}: {line['failed']}" for line in lines if "failed" in line)
            if done.returncode in (0, 1) and lines and lines[-1]["seed"] == stop - 1:
                return
            last = lines[-1]["seed"] if lines else seed
            yield f"{name} --seed {last}: the process ended with {done.returncode}\n{lines[-1:]}\n{done.stderr[-2000:]}"
            seed = last + 1


def try_input(reader: Reader, sound: Path, work: Path, seed: int, *, keep: bool) -> str:
    """Damage a copy of a sound input and open it; return what went wrong, empty for nothing."""
    case = work / f"case-{seed}"
    given, outside, output = case / "input", case / "outside", case / "output"
    shutil.copytree(sound, given)
    outside.mkdir()
    output.mkdir()
    (outside / "secret.bin").write_bytes(bytes(range(256)) * 16)
    rng = np.random.default_rng(seed)
    damage = mutate(given, rng)
    print(json.dumps({"seed": seed, "damage": damage}), flush=True)  # so that a crash is known by its last line
    before = _tree(case, without=output)
    problem = _opened(reader.open, given, output, rng)
    if not problem and (changed := _changes(before, _tree(case, without=output))):
        problem = f"changed outside the output: {changed}"
    if not keep:
        _remove(case)
    return f"{damage}\n{problem}" if problem else ""


def _opened(open_input: Open, given: Path, output: Path, rng: np.random.Generator) -> str:
    def alarm(*_: Any) -> None:
        raise HangError

    signal.signal(signal.SIGALRM, alarm)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    printed = io.StringIO()
    signal.alarm(HANG_S)
    faulthandler.dump_traceback_later(HANG_S + 10, exit=True, file=sys.__stderr__)  # in compiled code no signal arrives
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            open_input(given, output, rng)
    except (UserError, click.ClickException, click.exceptions.Exit, click.Abort):
        pass
    except SystemExit as end:
        if end.code not in (0, 1, 2, 3, None):
            return f"exit status {end.code}"
    except HangError:
        return "hang\n" + traceback.format_exc(limit=-6)
    except BaseException:
        return traceback.format_exc(limit=-6)
    finally:
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) * 1024
    if grown > MEMORY_BYTES:
        return f"took {grown / 2**30:.1f} GB"
    if "Traceback" in printed.getvalue():
        return printed.getvalue()[-2000:]
    return ""


def _tree(folder: Path, without: Path) -> dict[str, str]:
    """Type, and content or target, of everything below a folder; links are not followed."""
    found = {}
    for top, folders, files in os.walk(folder):
        if Path(top) == without:
            folders.clear()
            continue
        for name in (*folders, *files):
            path = os.path.join(top, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                found[path] = f"link {os.readlink(path)}"
            elif stat.S_ISREG(mode):
                with open(path, "rb") as file:
                    found[path] = hashlib.sha256(file.read()).hexdigest()
            else:
                found[path] = str(stat.S_IFMT(mode))
    return found


def _changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return sorted(path for path in {*before, *after} if before.get(path) != after.get(path))[:5]


def _remove(folder: Path) -> None:
    shutil.rmtree(os.fsencode(folder))  # bytes, since names need not be UTF-8


if __name__ == "__main__":
    sys.exit(main())
