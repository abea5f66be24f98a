"""A run's options against the recipes that come nearest, and the command that repeats the run."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from iscc_lidar.shared.base.config import resolve, toml_value
from iscc_lidar.trainer.pretrain.config import BASES, RECIPES, PretrainConfig, find_recipes
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


def nearest_recipe(config: PretrainConfig) -> tuple[tuple[str, ...], list[Option]]:
    """The shipped recipe that fewest options differ from, alone or after one of BASES, and all options against it.

    Of equals one recipe goes before two, and ``iscc`` before others.
    """
    names = sorted((path.stem for path in RECIPES.glob("*.toml")), key=lambda name: (name != "iscc", name))
    choices = [*((name,) for name in names), *((base, name) for base in BASES for name in names)]
    compared = {names: _against(config, resolve(PretrainConfig, find_recipes(names))) for names in choices}
    best = min(choices, key=lambda names: sum(option.differs and option.matters for option in compared[names]))
    return best, compared[best]


def repeat_command(recipes: Sequence[str], options: list[Option], cache: str) -> str:
    """The command that makes such a run again."""
    changes = [f"--set {shlex.quote(f'{o.key}={toml_value(o.value)}')}" for o in options if o.differs and o.matters]
    start = f"iscc-train pretrain --cache {shlex.quote(cache)} --out NEW_RUN"
    return " \\\n    ".join([" ".join([start, *(f"--recipe {name}" for name in recipes)]), *changes])


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
