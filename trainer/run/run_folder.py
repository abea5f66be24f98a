"""The output folder of a run: what may be in it, and when a run may start or go on there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, TypeVar

from iscc_lidar.shared.base import config as configs
from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_json
from iscc_lidar.shared.base.provenance import versions
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.run import resume_file
from iscc_lidar.trainer.run.options import RunningOptions

T = TypeVar("T")

CONFIG_FILE: Final = "config.json"
"""Every option and where the run comes from, for scripts."""
RECIPE_FILE: Final = "config.toml"
"""The same options as a recipe, for another run alike."""
FREE_TO_CHANGE: Final = frozenset(field.name for field in fields(RunningOptions))
"""Options of the train section that change what is learnt by no more than rounding, so that a resumed run may change
them; so it may the number of processes."""


@dataclass(frozen=True)
class Input:
    """Something a run reads: its name and path for people, and the digest by which it is told from another.

    The digest is recorded as ``digest_name``.
    """

    name: str
    path: str
    digest_name: str
    digest: str


def cache_input(cache: Cache, name: str = "cache") -> Input:
    """A cache as a run's input; its manifest has the digests of all the rest."""
    return Input(name, cache.path, f"{name}_manifest_sha256", cache.digest)


@dataclass(frozen=True)
class RunPlan:
    """A run as its folder knows it.

    Attributes:
        config: its options, a dataclass of sections of which one is ``train``.
        steps: its length.
        inputs: what it reads; with another one it is another run.
        told: further facts for its config.json.
        weights: names of its weight files.
    """

    config: Any
    steps: int
    inputs: Sequence[Input]
    told: Mapping[str, Any]
    weights: Sequence[str]


def prepare(out: Path, plan: RunPlan, resume: bool, overwrite: bool) -> int:
    """Make the folder ready and say at which step training (re)starts; ``plan.steps`` means it is finished.

    Raises UserError as first_step.
    """
    start = first_step(out, plan, resume, overwrite)
    if overwrite and (out / CONFIG_FILE).exists():
        _clear(out)
    files.remove_torn(out)
    if start == 0:
        for name in plan.weights:  # of a run whose removal was interrupted
            (out / name).unlink(missing_ok=True)
        _write_config(out, plan)
    return start


def first_step(out: Path, plan: RunPlan, resume: bool, overwrite: bool) -> int:
    """Say at which step training would (re)start in a folder; nothing is changed.

    Raises UserError where the folder holds something else, or an unfinished run and neither option is given.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; --out must name a folder")
    if not (out / CONFIG_FILE).exists() and out.exists() and not _only_begun(out, plan.config):
        raise UserError(f"{out}: not empty and not a run of this program; choose another --out")
    if overwrite or not (out / resume_file.RESUME_FILE).exists():  # nothing there that could be lost
        return 0
    _refuse_differences(out, plan)
    step = resume_file.saved_step(out)
    if step < plan.steps and not resume:
        raise UserError(
            f"{out}: holds an unfinished run (checkpoint at step {step} of {plan.steps}); "
            "add --resume to go on, or --overwrite to start anew"
        )
    return step


def read_config(out: Path, kind: type[T]) -> T:
    """Read the configuration that a run was made with. Raises UserError where there is none."""
    if not (out / RECIPE_FILE).exists():
        raise UserError(f"{out}: no run here ({RECIPE_FILE} is missing); make one with: iscc-train pretrain")
    return configs.resolve(kind, out / RECIPE_FILE)


def _only_begun(out: Path, config: Any) -> bool:
    """Whether all that is there is what this run leaves when it is killed before it has written its options."""
    names = {path.name for path in out.iterdir() if not files.is_torn(path)}
    try:
        return not names or (names == {RECIPE_FILE} and read_config(out, type(config)) == config)
    except UserError:  # another program's config.toml
        return False


def _clear(out: Path) -> None:
    """Remove a run's files; killed meanwhile, it leaves a run without a checkpoint, which can be removed as well."""
    (out / resume_file.RESUME_FILE).unlink(missing_ok=True)
    for path in out.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != CONFIG_FILE:
            path.unlink()
    (out / CONFIG_FILE).unlink()


def _write_config(out: Path, plan: RunPlan) -> None:
    read = {key: value for i in plan.inputs for key, value in ((i.name, i.path), (i.digest_name, i.digest))}
    content = configs.to_dict(plan.config) | {"provenance": read | dict(plan.told) | {"versions": versions()}}
    files.write_text(out / RECIPE_FILE, configs.to_toml(plan.config))
    files.write_text(out / CONFIG_FILE, json.dumps(content, indent=1) + "\n")


def _refuse_differences(out: Path, plan: RunPlan) -> None:
    stored = read_json(out / CONFIG_FILE)
    provenance = stored.get("provenance", {})
    for read in plan.inputs:
        if provenance.get(read.digest_name) != read.digest:
            raise UserError(
                f"{out}: its run reads another {read.name} ({provenance.get(read.name)}) than "
                f"{read.path}; choose another --out, or add --overwrite"
            )
    wanted = json.loads(json.dumps(configs.to_dict(plan.config)))
    changed = [
        f"{section}.{key} is {stored.get(section, {}).get(key)!r} there, {value!r} here"
        for section, values in wanted.items()
        for key, value in values.items()
        if stored.get(section, {}).get(key) != value and not (section == "train" and key in FREE_TO_CHANGE)
    ]
    if changed:
        raise UserError(
            f"{out}: holds a run with other options ({'; '.join(changed)}); choose another --out, "
            "set them alike, or add --overwrite"
        )
