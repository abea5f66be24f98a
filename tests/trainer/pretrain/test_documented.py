"""Without a recipe a run is the method that docs/method.md describes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from iscc_lidar.trainer.cli import app
from iscc_lidar.trainer.pretrain.recipe import find_recipes, resolve_pretrain

PAGE = Path(__file__).parents[3] / "docs/method.md"
NOT_THE_METHOD = {"method", "model", "train"}
"""Sections of the network's size, the schedule and how a run is executed."""


def documented() -> dict[str, dict[str, Any]]:
    """Read the table of defaults: a row per section, each value a TOML line in backticks."""
    text = PAGE.read_text(encoding="utf-8").split("### Defaults", 1)[1].split("\n### ", 1)[0]
    found = {}
    for row in (line for line in text.splitlines() if line.startswith("| `")):
        section, options = (cell.strip() for cell in row.split("|")[1:3])
        found[section.strip("`")] = tomllib.loads("\n".join(re.findall(r"`([^`]+)`", options)))
    return found


def test_a_run_without_a_recipe_is_the_documented_method_key_by_key():
    shown = CliRunner().invoke(app, ["pretrain", "--cache", "c", "--out", "o", "--show-config"])
    assert shown.exit_code == 0, shown.output
    config = tomllib.loads(shown.output)
    assert config["method"] == {"name": "iscc"}
    assert {name: config[name] for name in config if name not in NOT_THE_METHOD} == documented()


def test_the_recipe_of_the_full_method_changes_nothing():
    assert resolve_pretrain(find_recipes(["iscc"])) == resolve_pretrain()
