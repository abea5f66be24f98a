"""Nothing in the trainer runs code that comes with a checkpoint."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from iscc_lidar.trainer.export.write import TARGETS

TRAINER = Path(__file__).resolve().parents[3] / "trainer"
UNSAFE = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def unsafe(tree: ast.AST) -> Iterator[str]:
    """What in a module loads more than data."""
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (a.name for a in names if a.name.split(".")[0] in UNSAFE)
            case ast.ImportFrom(module="torch", names=names) if "load" in {a.name for a in names}:
                yield "from torch import load"
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in UNSAFE:
                yield module
            case ast.Attribute(attr="add_safe_globals" | "safe_globals"):
                yield node.attr
            case ast.Attribute(value=ast.Name(id="torch"), attr="load"):
                call = calls.get(id(node))
                if call is None or not any(is_true(k, "weights_only") for k in call.keywords):
                    yield "torch.load without weights_only=True"
            case ast.keyword() if is_true(node, "allow_pickle"):
                yield "allow_pickle=True"


def is_true(keyword: ast.keyword, name: str) -> bool:
    return keyword.arg == name and isinstance(keyword.value, ast.Constant) and keyword.value.value is True


def test_every_load_is_of_weights_only():
    files = list(TRAINER.rglob("*.py"))
    assert len(files) > 30
    found = {str(p.relative_to(TRAINER)): list(unsafe(ast.parse(p.read_text(encoding="utf-8")))) for p in files}
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "code",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=safe)",
        "read = torch.load",
        "from torch import load",
        "import pickle",
        "from joblib import load",
        "numpy.load(path, allow_pickle=True)",
        "torch.serialization.add_safe_globals([f])",
    ],
)
def test_the_check_finds_what_it_looks_for(code: str):
    assert list(unsafe(ast.parse(code)))


def test_what_users_are_told_to_run_is_safe_too(exported: Callable[[str], Path]):
    for target in TARGETS:
        for path in exported(target).iterdir():
            if path.suffix in (".md", ".py", ".yaml"):
                text = path.read_text(encoding="utf-8")
                assert all("weights_only=True" in call for call in re.findall(r"torch\.load\([^\n]*", text)), path


def test_exported_files_hold_tensors_in_plain_containers(exported: Callable[[str], Path]):
    for target in TARGETS:
        for path in exported(target).glob("*.pth"):
            (weights,) = torch.load(path, weights_only=True).values()
            assert type(weights) is dict
            assert all(type(name) is str and type(tensor) is torch.Tensor for name, tensor in weights.items())
