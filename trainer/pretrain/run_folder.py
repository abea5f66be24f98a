"""The output folder of a run: what may be in it, and when a run may start or go on there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from iscc_lidar.data_schemas.manifest import MANIFEST_FILE
from iscc_lidar.shared import config as configs
from iscc_lidar.shared import files
from iscc_lidar.shared.cache_reader import Cache, read_json
from iscc_lidar.shared.errors import UserError
from iscc_lidar.shared.provenance import versions
from iscc_lidar.trainer.config import FREE_TO_CHANGE, PretrainConfig
from iscc_lidar.trainer.pretrain import checkpoint

CONFIG_FILE: Final = "config.json"
"""Every option and where the run comes from, for scripts."""
RECIPE_FILE: Final = "config.toml"
"""The same options as a recipe, for another run alike."""


def prepare(
    out: Path, config: PretrainConfig, cache: Cache, computed_by: Mapping[str, str], resume: bool, overwrite: bool
) -> int:
    """Make the folder ready and say at which step training (re)starts; ``train.steps`` means it is finished.

    Raises UserError as first_step.
    """
    start = first_step(out, config, cache, resume, overwrite)
    if overwrite and (out / CONFIG_FILE).exists():
        _clear(out)
    files.remove_torn(out)
    if start == 0:
        for name in (checkpoint.ENCODER_FILE, checkpoint.HEADS_FILE):  # of a run whose removal was interrupted
            (out / name).unlink(missing_ok=True)
        _write_config(out, config, cache, computed_by)
    return start


def first_step(out: Path, config: PretrainConfig, cache: Cache, resume: bool, overwrite: bool) -> int:
    """Say at which step training would (re)start in a folder; nothing is changed.

    Raises UserError where the folder holds something else, or an unfinished run and neither option is given.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; --out must name a folder")
    if not (out / CONFIG_FILE).exists() and out.exists() and not _only_begun(out, config):
        raise UserError(f"{out}: not empty and not a run of this program; choose another --out")
    if overwrite or not (out / checkpoint.RESUME_FILE).exists():  # nothing there that could be lost
        return 0
    _refuse_differences(out, config, cache)
    step = checkpoint.saved_step(out)
    if step < config.train.steps and not resume:
        raise UserError(
            f"{out}: holds an unfinished run (checkpoint at step {step} of {config.train.steps}); "
            "add --resume to go on, or --overwrite to start anew"
        )
    return step


def read_config(out: Path) -> PretrainConfig:
    """Read the configuration that a run was made with. Raises UserError where there is none."""
    if not (out / RECIPE_FILE).exists():
        raise UserError(f"{out}: no run here ({RECIPE_FILE} is missing); make one with: iscc-train pretrain")
    return configs.resolve(PretrainConfig, out / RECIPE_FILE)


def _only_begun(out: Path, config: PretrainConfig) -> bool:
    """Whether all that is there is what this run leaves when it is killed before it has written its options."""
    names = {path.name for path in out.iterdir() if not files.is_torn(path)}
    try:
        return not names or (names == {RECIPE_FILE} and read_config(out) == config)
    except UserError:  # another program's config.toml
        return False


def _clear(out: Path) -> None:
    """Remove a run's files; killed meanwhile, it leaves a run without a checkpoint, which can be removed as well."""
    (out / checkpoint.RESUME_FILE).unlink(missing_ok=True)
    for path in out.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != CONFIG_FILE:
            path.unlink()
    (out / CONFIG_FILE).unlink()


def _write_config(out: Path, config: PretrainConfig, cache: Cache, computed_by: Mapping[str, str]) -> None:
    content = configs.to_dict(config) | {
        "provenance": {
            "dataset": cache.manifest.dataset,
            "cache": str(cache.path),
            "cache_manifest_sha256": _digest(cache),
            "started_on": dict(computed_by),
            "versions": versions(),
        }
    }
    files.write_text(out / RECIPE_FILE, configs.to_toml(config))
    files.write_text(out / CONFIG_FILE, json.dumps(content, indent=1) + "\n")


def _refuse_differences(out: Path, config: PretrainConfig, cache: Cache) -> None:
    stored = read_json(out / CONFIG_FILE)
    if stored.get("provenance", {}).get("cache_manifest_sha256") != _digest(cache):
        raise UserError(
            f"{out}: its run reads another cache ({stored.get('provenance', {}).get('cache')}) than "
            f"{cache.path}; choose another --out, or add --overwrite"
        )
    wanted = json.loads(json.dumps(configs.to_dict(config)))
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


def _digest(cache: Cache) -> str:
    return files.sha256(cache.path / MANIFEST_FILE)
