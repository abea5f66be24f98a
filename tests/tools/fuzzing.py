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
import multiprocessing
import os
import resource
import shutil
import signal
import stat
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import numpy as np

from iscc_lidar.shared.base.errors import UserError

from mutations import mutate

HANG_S: Final = 30
"""Processor time for an input; on a busy machine it takes many times as long."""
BLOCKED_S: Final = 300
MEMORY_BYTES: Final = 2 * 2**30
"""By how much the process may grow beyond its size at the start; inputs are of a few hundred kilobytes."""

HEAVY_EVERY: Final = 20
"""Of so many inputs one goes through the commands that take long: all of preprocessing, pictures, training."""

Open = Callable[[Path, Path, np.random.Generator, bool], list[int]]


@dataclass(frozen=True)
class Reader:
    """Something that opens files of others: how to write a small sound input, and how to open one.

    ``open`` gets the input, a folder for output, a generator of random numbers, and whether to run the commands that
    take long, too; it returns the exit status of each command.
    """

    write: Callable[[Path], None]
    open: Open


_PROCESSES: Final = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(  # imported once, instead of by the process of each reader
    [
        *("readers", "torch", "matplotlib.pyplot", "distributed", "iscc_lidar.shared.cache_cli"),
        *("iscc_lidar.preprocess.run.pipeline", "iscc_lidar.preprocess.segment.segment_block"),
        *("iscc_lidar.trainer.finetune.cli", "torch._dynamo"),
    ]
)


class HangError(BaseException):
    """An input kept its reader busy for too long; no reader may catch it."""


def main() -> int:
    """Fuzz a reader; status 1 if an input failed."""
    from readers import READERS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader", choices=sorted(READERS))
    parser.add_argument("--seed", type=int, default=0, help="of the first input")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="leave the damaged inputs here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        seeds = range(args.seed, args.seed + args.count)
        failed = try_inputs(READERS[args.reader], args.keep or Path(temporary), seeds, keep=args.keep is not None)
    return 1 if failed else 0


def fuzz(name: str, count: int, first_seed: int = 0) -> Iterator[str]:
    """Yield a description of each input that failed: the sound one, damaged ones, also one that crashed the process."""
    with tempfile.TemporaryDirectory() as temporary:
        seed, stop, log = first_seed, first_seed + count, Path(temporary) / "log"
        while seed < stop:
            child = _PROCESSES.Process(target=_in_child, args=(name, Path(temporary), range(seed, stop), log))
            child.start()
            child.join()
            printed = log.read_text(errors="replace")
            lines = [json.loads(line) for line in printed.splitlines() if line.startswith('{"seed"')]
            yield from (f"{name} --seed {line['seed']}: {line['failed']}" for line in lines if "failed" in line)
            if child.exitcode == 0 and lines and lines[-1]["seed"] == stop - 1:
                return
            last = lines[-1]["seed"] if lines else None
            yield f"{name} --seed {last}: the process ended with {child.exitcode}\n{printed[-2000:]}"
            if last is None:
                return
            seed = last + 1


def _in_child(name: str, work: Path, seeds: range, log: Path) -> None:
    """Try inputs in this process, and write what ``main`` prints to a file."""
    from readers import READERS

    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = (open(handle, "w", closefd=False, errors="replace") for handle in (1, 2))  # noqa: SIM115
    try_inputs(READERS[name], work, seeds, keep=False)
    sys.stdout.flush()


def try_inputs(reader: Reader, work: Path, seeds: range, *, keep: bool) -> int:
    """Make a sound input in ``work``, try it and damaged copies of it, print failures, and return their number.

    Next to the sound input lies what was made for it, as the cache of a run.
    """
    sound, failed = work / "sound", 0
    if not sound.exists():
        reader.write(sound)
        if problem := try_input(reader, sound, work, None, keep=keep):
            failed += 1
            print(json.dumps({"seed": seeds.start - 1, "failed": f"the sound input: {problem}"}), flush=True)
    for seed in seeds:
        if problem := try_input(reader, sound, work, seed, keep=keep):
            failed += 1
            print(json.dumps({"seed": seed, "failed": problem}), flush=True)
    return failed


def try_input(reader: Reader, sound: Path, work: Path, seed: int | None, *, keep: bool) -> str:
    """Damage a copy of a sound input and open it; return what went wrong, empty for nothing.

    Without a seed it is not damaged, and every command must take it.
    """
    case = work / f"case-{seed}"
    given, outside, output = case / "input", case / "outside", case / "output"
    shutil.copytree(sound, given)
    outside.mkdir()
    output.mkdir()
    (outside / "secret.bin").write_bytes(bytes(range(256)) * 16)
    rng = np.random.default_rng(seed or 0)
    damage = ""
    if seed is not None:
        damage = mutate(given, rng)
        print(json.dumps({"seed": seed, "damage": damage}), flush=True)  # so that a crash is known by its last line
    before = _tree(case, without=output)
    heavy = seed is None or bool(rng.random() < 1 / HEAVY_EVERY)
    problem = _opened(partial(reader.open, given, output, rng, heavy), is_sound=seed is None)
    if not problem and (changed := _changes(before, _tree(case, without=output))):
        problem = f"changed outside the output: {changed}"
    if not keep:
        _remove(case)
    return f"{damage}\n{problem}" if problem else ""


def _opened(open_input: Callable[[], list[int]], *, is_sound: bool) -> str:
    def alarm(*_: Any) -> None:
        raise HangError

    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, alarm)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    printed = io.StringIO()
    signal.alarm(BLOCKED_S)
    signal.setitimer(signal.ITIMER_PROF, HANG_S)
    faulthandler.dump_traceback_later(
        BLOCKED_S + 10, exit=True, file=sys.__stderr__
    )  # in compiled code no signal arrives
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            statuses = open_input()
        if is_sound and any(statuses):
            return f"exit statuses {statuses}\n{printed.getvalue()[-2000:]}"
    except (UserError, click.ClickException, click.exceptions.Exit, click.Abort) as error:
        if is_sound:
            return f"{type(error).__name__}: {error}"
    except SystemExit as end:
        if end.code not in (0, 1, 2, 3, None):
            return f"exit status {end.code}"
    except HangError:
        return "hang\n" + traceback.format_exc(limit=-6)
    except BaseException:
        return traceback.format_exc(limit=-6)
    finally:
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
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
