import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from iscc_lidar.shared.base.config import MOST, check_ranges, find_shipped, option, resolve, section, to_dict, to_toml
from iscc_lidar.shared.base.errors import UserError


@dataclass(frozen=True)
class Inner:
    size: float = option(0.2, "metres")
    count: int = option(3, "how many")
    name: str = option("a", 'with a " and a \\')
    on: bool = option(True, "switch")
    mode: Literal["fast", "slow"] = option("fast", "how")
    widths: tuple[int, ...] = option((1, 2), "list")
    names: tuple[str, ...] = option((), "list of words")

    def __post_init__(self) -> None:
        if self.count > 15 * self.size:
            raise ValueError("inner.count must not exceed fifteen times inner.size")


@dataclass(frozen=True)
class Outer:
    seed: int = option(0, "seed")
    inner: Inner = section(Inner)


def test_overrides_are_typed() -> None:
    items = [
        "seed=7",
        "inner.size=2",
        "inner.count=1",
        "inner.name=two words",
        "inner.on=false",
        "inner.mode=slow",
        "inner.widths=[3, 4, 5]",
    ]
    config = resolve(Outer, overrides=items)
    assert config == Outer(7, Inner(2.0, 1, "two words", False, "slow", (3, 4, 5)))
    assert type(config.inner.size) is float


@pytest.mark.parametrize("item", ['["fast", "x.y=2"]', "['fast','x.y=2']", "[fast,x.y=2]", "[fast, 'x.y=2' ]"])
def test_lists_need_no_quotes_which_a_shell_takes_away(item: str) -> None:
    assert resolve(Outer, overrides=[f"inner.names={item}"]).inner.names == ("fast", "x.y=2")


def test_options_that_only_fit_together_come_in_any_order() -> None:
    for items in (["inner.count=50", "inner.size=5"], ["inner.size=5", "inner.count=50"]):
        assert resolve(Outer, overrides=items).inner.count == 50


def test_later_overrides_win_over_earlier_ones_and_over_the_recipe(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("seed = 1\n[inner]\ncount = 1\nname = 'recipe'\n")
    config = resolve(Outer, recipe, ["inner.count=0", "inner.count=2"])
    assert (config.seed, config.inner.count, config.inner.name) == (1, 2, "recipe")


def test_later_recipes_win_over_earlier_ones(tmp_path: Path) -> None:
    for name, text in (("a", "seed = 1\n[inner]\ncount = 1\nname = 'a'\n"), ("b", "[inner]\ncount = 2\n")):
        (tmp_path / name).write_text(text)
    config = resolve(Outer, [tmp_path / "a", tmp_path / "b"], ["seed=5"])
    assert (config.seed, config.inner.count, config.inner.name) == (5, 2, "a")
    assert resolve(Outer, [tmp_path / "b", tmp_path / "a"]).inner.count == 1


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("seed", "expected section.key=value"),
        ("sead=1", "unknown option sead; the nearest is seed"),
        ("inner.cuont=1", "unknown option inner.cuont; the nearest is inner.count"),
        ("iner.count=1", "unknown option iner; the nearest is inner"),
        ("inner=1", "inner is a section"),
        ("seed.x=1", "seed is an option, not a section"),
        ("seed=1.5", "seed must be int, not 1.5"),
        ("seed=true", "seed must be int, not True"),
        ("inner.size=big", "inner.size must be float, not 'big'"),
        ("inner.on=1", "inner.on must be bool, not 1"),
        ("inner.mode=medium", "inner.mode must be one of fast, slow"),
        ("inner.widths=3", "inner.widths must be a list of int"),
        ("inner.widths=[1, 'x']", "inner.widths must be int"),
        ("inner.widths=[a, 2]", "inner.widths must be int, not 'a'"),
        ("inner.names=[a, 2]", "inner.names must be str, not 2"),
        ("inner.names=a", "inner.names must be a list of str"),
        ("inner.count=9", "must not exceed"),
    ],
)
def test_mistakes_are_named(item: str, expected: str) -> None:
    with pytest.raises(UserError) as error:
        resolve(Outer, overrides=[item])
    assert f"--set {item}: " in str(error.value)
    assert expected in str(error.value)


def test_unreadable_recipes_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such recipe"):
        resolve(Outer, tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("seed = ")
    with pytest.raises(UserError, match=r"bad\.toml: not a readable TOML recipe"):
        resolve(Outer, tmp_path / "bad.toml")


def test_a_folder_of_the_same_name_hides_no_shipped_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    (shipped / "quick.toml").touch()
    monkeypatch.chdir(tmp_path)
    Path("quick").mkdir()
    assert find_shipped(shipped, "quick") == shipped / "quick.toml"
    Path("mine").write_text("")
    assert find_shipped(shipped, "mine") == Path("mine")
    with pytest.raises(UserError, match=r"--preset none: neither a file nor a preset .*\(quick\)"):
        find_shipped(shipped, "none", "preset")


def test_toml_comes_back_as_the_same_configuration(tmp_path: Path) -> None:
    config = resolve(Outer, overrides=["inner.size=0.25", 'inner.name="a \\"b\\" \\\\ c"', "inner.widths=[]"])
    path = tmp_path / "recipe.toml"
    path.write_text(to_toml(config))
    assert resolve(Outer, path) == config
    assert "# metres" in path.read_text()
    assert to_dict(config)["inner"]["size"] == 0.25


@dataclass(frozen=True)
class Limited:
    count: int = option(1, "how many", at_least=0)
    share: float = option(0.5, "of all", above=0, below=1)
    widths: tuple[int, ...] = option((1, 2), "list", at_least=1, at_most=4096)
    free: float = 0.0

    def __post_init__(self) -> None:
        check_ranges(self, "limited")


@dataclass(frozen=True)
class Narrowed(Limited):
    count: int = option(5, "how many", at_least=5, at_most=9)
    rate: float = option(0.1, "per step", at_least=0)


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (Limited, {"count": -1}, "limited.count must be at least 0, not -1"),
        (Limited, {"count": MOST + 1}, "limited.count must be at least 0 and at most 9.0072e+15, not 9007199254740993"),
        (Limited, {"share": 1.0}, "limited.share must be above 0 and below 1, not 1.0"),
        (Limited, {"share": math.nan}, "limited.share must be above 0 and below 1, not nan"),
        (Limited, {"widths": (8, 4097)}, "limited.widths must be at least 1 and at most 4096, not 4097"),
        (Limited, {"free": math.inf}, "limited.free must be a finite number, not inf"),
        (Narrowed, {"count": 4}, "limited.count must be at least 5 and at most 9, not 4"),
        (Narrowed, {"rate": -1.0}, "limited.rate must be at least 0, not -1.0"),
        (Narrowed, {"widths": (0,)}, "limited.widths must be at least 1 and at most 4096, not 0"),
    ],
)
def test_every_number_is_checked_also_in_tuples_and_subclasses(config: type, changes: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        config(**changes)
    assert Limited(count=MOST, widths=(1, 4096), free=1e300).count == MOST
