"""Compare what two commits of this repository write, file by file, on one machine.

    python tests/tools/same_bytes.py OLD NEW --work DIR [--sample NAME=ROOT ...]

Each commit is cloned, installed in an environment of its own, and run through the same commands: the cache of four
synthetic sequences and of each sample, 40 steps of each pre-training method, 40 steps of both fine-tunings, all
exports, and a pre-training that is killed and resumed. What was run before is kept: remove DIR to start anew. The
status is 1 where a file differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

METHODS: Final = ("iscc", "segcontrast", "pointcontrast", "depthcontrast", "sspl")
TARGETS: Final = ("native", "pointcept", "mmdetection3d", "openpcdet")
STEPS: Final = ("--set", "train.steps=40", "--set", "train.checkpoint_every=20")
KILLED_AFTER_LINES: Final = 3
_KEY: Final = re.compile(r"-[0-9a-f]{16}(?=[/.]|$)")
"""Part of a block's name: a digest of the options, whose names may have changed."""


def commands(samples: dict[str, Path]) -> Iterator[tuple[str, list[str]]]:
    """Yield each command with the file that it writes last, relative to the folder it runs in."""
    yield "data/meta.json", ["iscc-preprocess", "synth", "data", "--set", "synth.sequences=4", "--workers", "2"]
    for name, dataset, root in (("synthetic", "synthetic", Path("data")), *((n, n, r) for n, r in samples.items())):
        cache = f"cache/{name}"
        yield (
            f"{cache}/manifest.json",
            [*("iscc-preprocess", "run", dataset, "--root", str(root), "--cache", cache, "--workers", "2")],
        )
    for name in METHODS:
        yield (
            f"runs/{name}/finished",
            [
                *("iscc-train", "pretrain", "--cache", "cache/synthetic", "--out", f"runs/{name}", "--overwrite"),
                *("--recipe", "quick", "--recipe", name, *STEPS),
            ],
        )
    for task in ("semseg", "detection"):
        for start in ("iscc", "scratch"):
            encoder = () if start == "scratch" else ("--encoder", f"runs/{start}")
            yield (
                f"tuned/{task}-{start}/finished",
                [
                    *(
                        "iscc-train",
                        "finetune",
                        task,
                        "--train-cache",
                        "cache/synthetic",
                        "--out",
                        f"tuned/{task}-{start}",
                    ),
                    *("--val-cache", "cache/synthetic", "--recipe", "quick", "--overwrite", *encoder, *STEPS),
                ],
            )
    for target in TARGETS:
        yield (
            f"exports/{target}/finished",
            [*("iscc-train", "export", "runs/iscc", "--to", target, "--out", f"exports/{target}", "--overwrite")],
        )


def run_all(bin_folder: Path, folder: Path, samples: dict[str, Path]) -> None:
    """Run all commands in a folder with the programs of an environment."""
    folder.mkdir(parents=True, exist_ok=True)
    marks = folder / ".finished"
    marks.mkdir(exist_ok=True)
    for last, command in commands(samples):
        mark = marks / last.replace("/", "_")
        if not mark.exists():
            _run([str(bin_folder / command[0]), *command[1:]], folder)
            mark.touch()
    if not (marks / "killed").exists():
        _kill_and_resume(bin_folder, folder)
        (marks / "killed").touch()


def _run(command: list[str], folder: Path) -> None:
    print("+", " ".join(command), flush=True)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def _kill_and_resume(bin_folder: Path, folder: Path) -> None:
    """Kill a run after its first checkpoint, and resume it."""
    out = folder / "runs/killed"
    command = [
        *(str(bin_folder / "iscc-train"), "pretrain", "--cache", "cache/synthetic", "--out", "runs/killed"),
        *("--recipe", "quick", "--recipe", "iscc", *STEPS),
    ]
    process = subprocess.Popen([*command, "--overwrite"], cwd=folder, stderr=subprocess.DEVNULL, start_new_session=True)
    log = out / "metrics.jsonl"
    while process.poll() is None and not (log.exists() and log.read_text().count("\n") >= KILLED_AFTER_LINES):
        time.sleep(0.02)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    _run([*command, "--resume"], folder)


def contents(folder: Path) -> dict[str, Path]:
    """All files of a folder to compare, by name without digests of options."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        hidden = any(part.startswith(".") for part in Path(name).parts)
        if path.is_file() and not hidden and path.suffix not in (".pt", ".log"):
            found[_KEY.sub("", name)] = path
    return found


def differences(old: Path, new: Path) -> Iterator[str]:
    """Yield what differs between two files of one name: keys of JSON, lines of text, or all of it."""
    if _digest(old) == _digest(new):
        return
    if old.suffix == ".json":
        yield from _values(_flat(json.loads(old.read_text())), _flat(json.loads(new.read_text())))
    elif old.suffix == ".jsonl":
        rows = [[json.loads(line) for line in path.read_text().splitlines()] for path in (old, new)]
        yield from dict.fromkeys(text for a, b in zip(*rows, strict=False) for text in _values(_flat(a), _flat(b)))
    elif old.suffix == ".toml":  # values, whatever the comments say
        yield from _values(_flat(tomllib.loads(old.read_text())), _flat(tomllib.loads(new.read_text())))
    elif old.suffix in (".md", ".txt", ".py"):
        lines = [[line.partition("  # ")[0] for line in path.read_text().splitlines()] for path in (old, new)]
        yield from (f"- {line}" for line in lines[0] if line not in lines[1])
        yield from (f"+ {line}" for line in lines[1] if line not in lines[0])
    else:
        yield f"{old.stat().st_size} bytes, {new.stat().st_size} bytes"


def _values(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for key in [*old, *(key for key in new if key not in old)]:
        if old.get(key) != new.get(key):
            yield f"{key}: {old.get(key, 'absent')!r} -> {new.get(key, 'absent')!r}"


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        pairs = ((str(i), item) for i, item in enumerate(value))
    else:
        return {prefix: value}
    return {k: v for key, item in pairs for k, v in _flat(item, f"{prefix}.{key}" if prefix else str(key)).items()}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def compare(old: Path, new: Path) -> int:
    """Print which files are equal, and how the others differ; returns their number."""
    before, after = contents(old), contents(new)
    equal, changed = 0, 0
    for name in sorted({*before, *after}):
        if name not in before or name not in after:
            lines = ["only in the " + ("new" if name in after else "old")]
        else:
            lines = list(differences(before[name], after[name]))
        equal += not lines
        changed += bool(lines)
        if lines:
            print(f"differs: {name}")
            for line in lines:
                print(f"    {line[:300]}")
    print(f"{equal} files are equal, {changed} differ")
    return changed


def killed_equals_uninterrupted(folder: Path) -> bool:
    """Whether the run that was killed and resumed left the weights and the log of the one that was not."""
    names = ("encoder.safetensors", "heads.safetensors", "metrics.jsonl")
    return all(_digest(folder / "runs/iscc" / name) == _digest(folder / "runs/killed" / name) for name in names)


def install(repository: Path, revision: str, folder: Path) -> Path:
    """Clone a revision and set up its environment; returns the folder of its programs."""
    if not (folder / ".venv/.ready").exists():
        subprocess.run(["git", "clone", "--quiet", str(repository), str(folder)], check=True)
        subprocess.run(["git", "checkout", "--quiet", revision], cwd=folder, check=True)
        subprocess.run(["make", "--silent", "setup"], cwd=folder, check=True)
    return (folder / ".venv/bin").resolve()


def main() -> int:
    """Run both commits and compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", help="revision to compare with")
    parser.add_argument("new", help="revision that is compared")
    parser.add_argument("--work", type=Path, required=True, help="folder for clones and outputs")
    parser.add_argument(
        "--sample", action="append", default=[], help="NAME=ROOT of a dataset besides the synthetic one"
    )
    args = parser.parse_args()
    samples = {name: Path(root).resolve() for name, _, root in (text.partition("=") for text in args.sample)}
    repository = Path(__file__).resolve().parents[2]
    outputs = []
    for side, revision in (("old", args.old), ("new", args.new)):
        print(f"== {side}: {revision}")
        programs = install(repository, revision, args.work / side / "clone")
        run_all(programs, args.work / side / "out", samples)
        same = killed_equals_uninterrupted(args.work / side / "out")
        print(f"{side}: killed and resumed {'equals' if same else 'DIFFERS FROM'} uninterrupted")
        outputs.append(args.work / side / "out")
    return 1 if compare(*outputs) else 0


if __name__ == "__main__":
    sys.exit(main())
