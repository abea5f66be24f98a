"""A run's options against the recipe that comes nearest, and the command that repeats the run."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from iscc_lidar.shared.config import resolve
from iscc_lidar.trainer.config import RECIPES, PretrainConfig
from iscc_lidar.trainer.run.run_folder import FREE_TO_CHANGE


@dataclass(frozen=True)
class Option:
    """One option: its dotted key, value, what the recipe would set, meaning, and whether it changes what is learnt."""

    key: str
    value: Any
    usual: Any
    meaning: str
    matters: bool

    @property
    def differs(self) -> bool:
        """Whether the run sets it otherwise than the recipe."""
        return bool(self.value != self.usual)


def nearest_recipe(config: PretrainConfig) -> tuple[str, list[Option]]:
    """The shipped recipe that fewest options differ from, ``iscc`` before others, and all options against it."""
    names = sorted((path.stem for path in RECIPES.glob("*.toml")), key=lambda name: (name != "iscc", name))
    compared = {name: _against(config, resolve(PretrainConfig, RECIPES / f"{name}.toml")) for name in names}
    best = min(names, key=lambda name: sum(option.differs and option.matters for option in compared[name]))
    return best, compared[best]


def repeat_command(recipe: str, options: list[Option], cache: str) -> str:
    """The command that makes such a run again."""
    changes = [f"--set {shlex.quote(f'{o.key}={toml(o.value)}')}" for o in options if o.differs and o.matters]
    start = f"iscc-train pretrain --cache {shlex.quote(cache)} --out NEW_RUN --recipe {recipe}"
    return " \\\n    ".join([start, *changes])


def toml(value: Any) -> str:
    """A value as --set and recipes take it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(toml(v) for v in value) + "]"
    return str(value)


def _against(config: PretrainConfig, usual: PretrainConfig) -> list[Option]:
    meanings = _leaves(config, meaning=True)
    values, others = _leaves(config), _leaves(usual)
    free = {f"train.{name}" for name in FREE_TO_CHANGE}
    return [Option(key, values[key], others[key], meanings[key], key not in free) for key in values]


def _leaves(config: Any, meaning: bool = False, prefix: str = "") -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            found |= _leaves(value, meaning, f"{prefix}{field.name}.")
        else:
            found[prefix + field.name] = field.metadata.get("why", "") if meaning else value
    return found
