"""A run's options against the recipes that come nearest, and the command that repeats the run."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

from iscc_lidar.shared.base.config import resolve, toml_value
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.finetune.tasks import TASKS
from iscc_lidar.trainer.pretrain.config import BASES, RECIPES, PretrainConfig
from iscc_lidar.trainer.pretrain.recipe import find_recipes, resolve_pretrain
from iscc_lidar.trainer.run.options import FREE_TO_CHANGE
from iscc_lidar.trainer.run.run import Run


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
        """Whether the run's value is not the recipe's."""
        return bool(self.value != self.usual)


def nearest_recipe(run: Run, config: Any) -> tuple[tuple[str, ...], list[Option]]:
    """Find the shipped recipes that fewest options differ from, and compare all options with them.

    Of equals fewer recipes go first, and ``iscc`` before others.
    """
    given_model = run.task != "pretrain" and run.provenance.get("encoder_sha256", "") != ""  # it is the encoder's
    free = {f"train.{name}" for name in FREE_TO_CHANGE}
    compared = {names: _against(config, usual, free, given_model) for names, usual in _shipped(run, config)}
    best = min(compared, key=lambda names: sum(option.differs and option.matters for option in compared[names]))
    return best, compared[best]


def repeat_command(run: Run, recipes: Sequence[str], options: list[Option]) -> str:
    """Return the command that makes such a run again."""
    changes = [f"--set {shlex.quote(f'{o.key}={toml_value(o.value)}')}" for o in options if o.differs and o.matters]
    caches = [shlex.quote(cache) for cache in run.caches or ["CACHE"]]
    start = f"iscc-train pretrain {' '.join(f'--cache {cache}' for cache in caches)} --out NEW_RUN"
    if run.task != "pretrain":
        labelled = shlex.quote(str(run.folder / "labelled.txt"))
        start = f"iscc-train finetune {run.task} --train-cache {caches[0]} --labelled {labelled} --out NEW_RUN"
        if run.provenance.get("encoder_sha256"):
            start += f" --encoder {shlex.quote(str(run.provenance['encoder']))}"
    return " \\\n    ".join([" ".join([start, *(f"--recipe {name}" for name in recipes)]), *changes])


def _shipped(run: Run, config: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield shipped recipes, alone or after one of BASES, and the options that they give, if of the same method."""
    if run.task != "pretrain":
        task = TASKS[run.task]
        yield (), task.config()
        for path in sorted(task.recipes.glob("*.toml")):
            yield (path.stem,), resolve(task.config, path)
        return
    yield from ((chosen, usual) for chosen, usual in _pretrain_recipes() if type(usual) is type(config))


@cache
def _pretrain_recipes() -> list[tuple[tuple[str, ...], PretrainConfig]]:
    """Resolve every combination of shipped recipes, which takes half a second."""
    names = sorted((path.stem for path in RECIPES.glob("*.toml")), key=lambda name: (name != "iscc", name))
    found = []
    for chosen in ((), *((name,) for name in names), *((base, name) for base in BASES for name in names)):
        with suppress(UserError):  # a recipe of options that the method before it does not have
            found.append((chosen, resolve_pretrain(find_recipes(chosen))))
    return found


def _against(config: Any, usual: Any, free: set[str], given_model: bool) -> list[Option]:
    others = _leaves(usual)
    return [
        Option(key, value, others[key][0], meaning, not (key in free or (given_model and key[:6] == "model.")))
        for key, (value, meaning) in _leaves(config).items()
    ]


def _leaves(config: Any, prefix: str = "") -> dict[str, tuple[Any, str]]:
    """Return value and meaning of every option, by its dotted key."""
    found: dict[str, tuple[Any, str]] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            found |= _leaves(value, f"{prefix}{field.name}.")
        else:
            found[prefix + field.name] = value, field.metadata.get("why", "")
    return found
