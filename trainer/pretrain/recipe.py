"""Options of a pre-training run from recipes and the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from iscc_lidar.shared.base.config import Given, build, find_shipped, sources
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.pretrain.config import RECIPES, MethodConfig, PretrainConfig
from iscc_lidar.trainer.pretrain.method import find_method, method_names
from iscc_lidar.trainer.run.folder import RECIPE_FILE
from iscc_lidar.trainer.run.run import Run


def resolve_pretrain(recipes: Sequence[Path] = (), overrides: Iterable[str] = ()) -> PretrainConfig:
    """Resolve the options of the method that the recipes and ``section.key=value`` items choose, by default ISCC.

    In a recipe, tables below a method's name, such as ``[iscc.loss]``, hold for that method alone.

    Raises:
        UserError: as shared.base.config.resolve, and for an unknown method.
    """
    given = sources(recipes, overrides)
    name = MethodConfig().name
    for source in given:
        chosen = source.get("method")
        if isinstance(chosen, dict) and isinstance(chosen.get("name"), Given):
            name = str(chosen["name"].value)
    kind: type[PretrainConfig] = find_method(name).config
    return build(kind, [part for source in given for part in _of_method(source, name)])


def config_of(run: Run) -> PretrainConfig:
    """Read the options of a pre-training run. Raises UserError where they are damaged."""
    return resolve_pretrain([run.recipe])


def find_recipes(names: Iterable[str], resumed: Path | None = None) -> list[Path]:
    """Find recipes by the path of a TOML file, or by the name of one that comes with the program.

    Without any, those of the run to be ``resumed``, if it has begun: its options need not be repeated.
    """
    found = [find_shipped(RECIPES, name) for name in names]
    if not found and resumed is not None and (resumed / RECIPE_FILE).exists():
        return [resumed / RECIPE_FILE]
    return found


def _of_method(source: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a source without the tables below methods' names, then those below this one's."""
    own = source.get(name, {})
    if isinstance(own, Given):
        raise UserError(f"{own.source}: {name} is a method; choose it by method.name, or set {name}.SECTION.KEY")
    return [{key: value for key, value in source.items() if key not in method_names()}, own]
