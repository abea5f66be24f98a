"""The folder that a run writes: what may be in it, when a run may start or resume there, and who writes."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_args

from iscc_lidar.shared.base import config as configs
from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_json
from iscc_lidar.shared.base.own import MARK_FILE
from iscc_lidar.shared.base.provenance import versions
from iscc_lidar.shared.base.text import one_line
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.store.owner import CLAIM_FILE
from iscc_lidar.trainer.run.checkpoint import CHECKPOINT_FILE, checkpoint_step
from iscc_lidar.trainer.run.options import FREE_TO_CHANGE, TaskName

CONFIG_FILE: Final = "config.json"
"""Every option and where the run comes from, for scripts."""
RECIPE_FILE: Final = "config.toml"
"""The same options as a recipe, to repeat the run."""
_DIGEST: Final = "_sha256"
"""How the name of an input's digest ends."""
_OWN: Final = re.compile(
    r"config\.(json|toml)|resume\.pt|metrics\.jsonl|[a-z]+\.safetensors|labelled\.txt|report\.html"
    r"|(evaluation|segmentation|detection)\.json|(confusion|segmentation|detection)\.png"
)
"""Names of a run's files."""


@dataclass(frozen=True)
class Input:
    """Something a run reads.

    Attributes:
        name, path: for people.
        digest_name: key of the digest in config.json.
        digest: with another digest it is another input.
    """

    name: str
    path: str
    digest_name: str
    digest: str


def cache_input(cache: Cache, number: int = 1) -> Input:
    """Describe a cache as a run's input, by its manifest, which has the digests of all the rest.

    ``number`` counts the caches of a run from 1.
    """
    name = "cache" if number == 1 else f"cache_{number}"
    return Input(name, cache.path, f"{name}_manifest_sha256", cache.digest)


@dataclass(frozen=True)
class RunPlan:
    """A run as its folder records it.

    Attributes:
        task: what is trained.
        config: its options, a dataclass of sections of which one is ``train``.
        steps: its length.
        inputs: what it reads; with another one it is another run.
        facts: further facts for config.json.
        weight_files: names of its weight files.
        data: its data in a few words.
        texts: further files of its folder, written at the start: content by name.
        command: words after iscc-train that name task and inputs.
    """

    task: TaskName
    config: Any
    steps: int
    inputs: Sequence[Input]
    facts: Mapping[str, Any]
    weight_files: Sequence[str]
    data: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = ()


def prepare(out: Path, plan: RunPlan, resume: bool, overwrite: bool) -> int:
    """Make the folder ready and return the step at which training (re)starts; ``plan.steps`` means it is finished.

    The folder must be locked. Raises UserError as first_step.
    """
    start = first_step(out, plan, resume, overwrite)
    if overwrite:
        _refuse_foreign_files(out)
    if overwrite and (out / CONFIG_FILE).exists():
        _clear(out)
    files.remove_torn(out)
    if start == 0:
        for name in plan.weight_files:  # of a run whose removal was interrupted
            (out / name).unlink(missing_ok=True)
        _write_config(out, plan)
        for name, text in plan.texts.items():
            files.write_text(out / name, text)
    return start


def first_step(out: Path, plan: RunPlan, resume: bool, overwrite: bool) -> int:
    """Return the step at which training would (re)start in a folder; nothing is changed.

    Raises UserError where the folder holds something else, or an unfinished run and neither option is given.
    """
    refuse_foreign(out, plan.config)
    if overwrite or not (out / CHECKPOINT_FILE).exists():  # nothing there that could be lost
        return 0
    _refuse_differences(out, plan)
    step = checkpoint_step(out)
    if step < plan.steps and not resume:
        raise UserError(
            f"{out}: holds an unfinished run (checkpoint at step {step} of {plan.steps}); "
            "add --resume to continue it, or --overwrite to start anew"
        )
    return step


def refuse_foreign(out: Path, config: Any) -> None:
    """Raise UserError where ``out`` holds something that is not a run; ``config`` are the options of the new run."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; --out must name a folder")
    for path in out.iterdir() if out.exists() else ():
        if path.exists() and not path.is_dir():
            files.regular(path)  # a pipe, even as .owner, would be waited for
    begun = _is_run(out) if (out / CONFIG_FILE).exists() else _only_begun(out, config)
    if out.exists() and not begun:
        raise UserError(f"{out}: not empty and not a run of this program; choose another --out")


def _is_run(out: Path) -> bool:
    """Return whether the folder's options are those of a run; many other programs also write a config.json."""
    provenance = read_json(out / CONFIG_FILE).get("provenance")
    return isinstance(provenance, dict) and provenance.get("task") in get_args(TaskName)


def _refuse_foreign_files(out: Path) -> None:
    """Raise UserError where a run to be removed has other files than a run's own."""
    for path in sorted(out.iterdir()) if out.exists() else ():
        own = _OWN.fullmatch(path.name) or _is_lock(path) or files.is_torn(path)
        if path.is_dir() and not path.is_symlink():
            own = path.name in ("export", "tensorboard") or (path / MARK_FILE).is_file()
        if not own:
            raise UserError(
                f"{out}: contains {one_line(path.name)}, which is not of a run and which --overwrite would remove; "
                "move it away, or choose another --out"
            )


def _only_begun(out: Path, config: Any) -> bool:
    """Return whether the folder holds only what this run leaves when killed before it has written its options."""
    if not out.exists():
        return True
    names = {path.name for path in out.iterdir() if not files.is_torn(path) and not _is_lock(path)}
    try:
        return not names or (names == {RECIPE_FILE} and configs.resolve(type(config), out / RECIPE_FILE) == config)
    except UserError:  # another program's config.toml
        return False


def _clear(out: Path) -> None:
    """Remove a run's files; killed meanwhile, it leaves a run without a checkpoint, which can be removed as well."""
    (out / CHECKPOINT_FILE).unlink(missing_ok=True)
    for path in out.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != CONFIG_FILE and not _is_lock(path):
            path.unlink()
    (out / CONFIG_FILE).unlink()


def _is_lock(path: Path) -> bool:
    return path.name.startswith(CLAIM_FILE)


def _write_config(out: Path, plan: RunPlan) -> None:
    read = {key: value for i in plan.inputs for key, value in ((i.name, i.path), (i.digest_name, i.digest))}
    facts = {"task": plan.task, "steps": plan.steps, **plan.facts, "versions": versions()}
    content = configs.to_dict(plan.config) | {"provenance": read | facts}
    files.write_text(out / RECIPE_FILE, configs.to_toml(plan.config))
    files.write_text(out / CONFIG_FILE, json.dumps(content, indent=1) + "\n")


def _refuse_differences(out: Path, plan: RunPlan) -> None:
    stored = read_json(out / CONFIG_FILE)
    provenance = stored.get("provenance")
    provenance = provenance if isinstance(provenance, dict) else {}
    if provenance.get("task", plan.task) != plan.task:
        raise UserError(f"{out}: holds a run of {provenance['task']}, not of {plan.task}; choose another --out")
    for read in plan.inputs:
        if provenance.get(read.digest_name) != read.digest:
            raise UserError(
                f"{out}: its run was started with another {read.name} ({provenance.get(read.name)}), not "
                f"{read.path}; choose another --out, or add --overwrite"
            )
    given = {read.digest_name for read in plan.inputs}
    for name in provenance:
        if name.endswith(_DIGEST) and name not in given:
            what = name.removesuffix("_manifest" + _DIGEST).removesuffix(_DIGEST)
            raise UserError(
                f"{out}: its run was started with one input more ({what}, {provenance.get(what, 'not named')}); give "
                "it again, choose another --out, or add --overwrite"
            )
    free = {f"train.{key}" for key in FREE_TO_CHANGE}
    wanted = configs.to_dict(plan.config)
    options = {key: value for key, value in stored.items() if key in wanted}
    changed = [line for line in configs.differences(options, wanted) if line.partition(" ")[0] not in free]
    if not changed and provenance.get("steps", plan.steps) != plan.steps:
        changed = [f"its length is {provenance['steps']!r:.40} steps there, {plan.steps} here"]
    if changed:
        lines = "".join(f"\n- {line}" for line in changed)
        raise UserError(
            f"{out}: holds a run with other options:{lines}\n"
            f"To go on with it: {again(plan, out)}\n"
            "Otherwise choose another --out, or add --overwrite to start anew"
        )


def again(plan: RunPlan, out: Path) -> str:
    """Return the command that goes on with the run in a folder, with its own options."""
    return shlex.join(["iscc-train", *plan.command, "--out", str(out), "--recipe", str(out / RECIPE_FILE), "--resume"])
