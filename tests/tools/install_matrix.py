"""Build wheels of the sdist, install them into fresh environments, and use what each extra promises there.

python tests/tools/install_matrix.py [--sdist dist/*.tar.gz] [--python PYTHON ...] [--extras core preprocess train all]

Two environments for each Python, one after the other, each removed again: one gets the core and then ``preprocess``,
the other ``train`` and then the rest. Prints one row for each step: seconds of the installation with its downloads,
megabytes of the environment, seconds of what was tried in it, and OK or the end of what failed.
CC=false in the environment builds the wheels without C kernels.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
GOLDEN = REPOSITORY / "tests" / "data_schemas" / "golden" / "2.0"
SMALL = ("synth.sequences=2", "synth.sweeps=6", "synth.beams=32", "synth.columns=256")
TRAIN = ("--recipe", "quick", "--set", "train.steps=3", "--set", "train.loader_workers=1")
ENVIRONMENTS = (("core", "preprocess"), ("train", "all"))
EXTRAS = {"core": "", "preprocess": "[preprocess]", "train": "[train]", "all": "[preprocess,train]"}
ABSENT = {"core": ("dask", "torch", "scipy"), "preprocess": ("torch",), "train": ("dask", "hdbscan"), "all": ()}
NEWEST = "3.14"


@dataclass(frozen=True)
class Environment:
    """A virtual environment, and the folder in which its commands run."""

    folder: Path
    work: Path

    def call(self, program: str, *arguments: object, ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment. Raises RuntimeError with the end of its output where it fails."""
        clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
        done = subprocess.run(
            [str(self.folder / "bin" / program), *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.work,
            env=clean,
        )
        if ok and done.returncode:
            end = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()][-1:]
            raise RuntimeError(f"{program} {' '.join(map(str, arguments))[:60]}: {' '.join(end)[:200]}")
        return done

    def megabytes(self) -> float:
        """Return the size of all files in it."""
        files = (Path(folder) / name for folder, _, names in os.walk(self.folder) for name in names)
        return sum(file.lstat().st_size for file in files) / 1e6


def try_core(env: Environment) -> None:
    """Read, verify and export the golden cache."""
    env.call("iscc-cache", "--version")
    env.call("iscc-cache", "info", GOLDEN)
    env.call("iscc-cache", "verify", GOLDEN)
    env.call("iscc-cache", "export", GOLDEN, env.work / "labels", "--to", "semantickitti")
    shutil.rmtree(env.work / "labels")


def try_preprocess(env: Environment) -> None:
    """Make a cache."""
    sets = [word for item in SMALL for word in ("--set", item)]
    env.call("iscc-preprocess", "synth", "data", "--workers", 1, *sets)
    env.call("iscc-preprocess", "check", "synthetic", "data")
    env.call("iscc-preprocess", "run", "synthetic", "--root", "data", "--cache", "cache", "--workers", 2)
    env.call("iscc-cache", "verify", "cache")
    env.call("iscc-cache", "show", "cache", "--out", "a.png")


def try_train(env: Environment) -> None:
    """Pre-train on the cache that ``preprocess`` made, or on the golden one."""
    cache = env.work / "cache" if (env.work / "cache").exists() else GOLDEN
    env.call("iscc-train", "pretrain", "--cache", cache, "--out", "run", *TRAIN)
    env.call("iscc-train", "report", "run")
    env.call("iscc-train", "export", "run", "--to", "native")
    shutil.rmtree(env.work / "run")


def try_all(env: Environment) -> None:
    """Run the main job from the beginning."""
    for name in ("data", "cache"):
        shutil.rmtree(env.work / name, ignore_errors=True)
    (env.work / "a.png").unlink(missing_ok=True)
    try_preprocess(env)
    try_train(env)


TRIALS: dict[str, Callable[[Environment], None]] = {
    "core": try_core,
    "preprocess": try_preprocess,
    "train": try_train,
    "all": try_all,
}


def step(env: Environment, wheel: Path, name: str) -> str:
    """Install an extra and try it; returns the end of its row."""
    begun = time.monotonic()
    try:
        constraints = REPOSITORY / "constraints.txt"
        env.call("python", "-m", "pip", "install", "--quiet", "-c", constraints, f"{wheel}{EXTRAS[name]}")
        installed = time.monotonic()
        for module in ABSENT[name]:
            if env.call("python", "-c", f"import {module}", ok=False).returncode == 0:
                raise RuntimeError(f"{module} is installed too")
        TRIALS[name](env)
        result = "OK"
    except RuntimeError as error:
        installed, result = time.monotonic(), str(error)
    return f"{installed - begun:.0f} | {env.megabytes():.0f} | {time.monotonic() - installed:.0f} | {result}"


def without_wheels(wheel: Path, version: str) -> list[str]:
    """Return the direct dependencies that pip cannot resolve from wheels alone for a version of Python."""
    with zipfile.ZipFile(wheel) as file:
        metadata = file.read(next(name for name in file.namelist() if name.endswith("METADATA"))).decode()
    named = re.findall(r"^Requires-Dist: ([^;\n]+?) *(?:; extra == [\"'](?:preprocess|train)[\"'])?$", metadata, re.M)
    missing = []
    for requirement in sorted(set(named)):
        call = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--dry-run",
            "--quiet",
            "--ignore-installed",
            "--target",
            "none",
        ]
        call += ["--only-binary=:all:", "--python-version", version, requirement]
        done = subprocess.run(call, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "No matching distribution" in line]
            missing.append(f"{requirement} ({lines[-1].removeprefix('ERROR: ') if lines else 'not resolved'})")
    return missing


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; returns 1 where a step failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sdist", type=Path, help="by default one is built from this repository")
    parser.add_argument("--python", nargs="+", default=["python3.11", "python3.12", "python3.13"])
    parser.add_argument("--extras", nargs="+", default=list(EXTRAS), choices=list(EXTRAS))
    parser.add_argument("--newest", default=NEWEST, help="Python whose wheels are looked for by pip's dry run")
    options = parser.parse_args(arguments)
    failed = False
    with tempfile.TemporaryDirectory(prefix="install-") as name:
        folder = Path(name)
        sdist = options.sdist.resolve() if options.sdist else build_sdist(folder)
        print("| Python | extras | install, s | MB | use, s | result |\n|---|---|---|---|---|---|", flush=True)
        for python in options.python:
            failed |= not try_python(python, sdist, folder, options.extras)
        missing = without_wheels(next(folder.glob("*.whl")), options.newest)
        print(f"\nPython {options.newest}, without a wheel: {'; '.join(missing) or 'nothing'}")
    return int(failed)


def try_python(python: str, sdist: Path, folder: Path, extras: Sequence[str]) -> bool:
    """Print the rows of one Python; returns whether all are OK."""
    (folder / "work").mkdir()
    env, rows = Environment(folder / "venv", folder / "work"), []
    wheel: Path | None = None
    for names in ENVIRONMENTS:
        chosen = [name for name in names if name in extras]
        if not chosen:
            continue
        subprocess.run([python, "-m", "venv", str(env.folder)], check=True)
        version = env.call("python", "-c", "import platform; print(platform.python_version())").stdout.strip()
        wheel = wheel or build_wheel(env, sdist, folder)
        for name in chosen:
            rows.append(step(env, wheel, name))
            print(f"| {version} | {name} | {rows[-1]} |", flush=True)
        shutil.rmtree(env.folder)
    shutil.rmtree(env.work)
    return all(row.endswith("| OK") for row in rows)


def build_sdist(out: Path) -> Path:
    """Build the sdist of this repository."""
    subprocess.run([sys.executable, "-m", "build", "--sdist", "--outdir", str(out), str(REPOSITORY)], check=True)
    return next(out.glob("*.tar.gz"))


def build_wheel(env: Environment, sdist: Path, out: Path) -> Path:
    """Build a wheel of the sdist with an environment's Python."""
    before = {*out.glob("*.whl")}
    env.call("python", "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out, sdist)
    return ({*out.glob("*.whl")} - before).pop()


if __name__ == "__main__":
    sys.exit(main())
