"""Tensors from files, compared with what a network has before any of them is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn

_MOST: Final = 2**53


def shapes_of(make: Callable[[], nn.Module]) -> dict[str, Tensor]:
    """Return the state dict of a module as tensors without memory: names, shapes and dtypes."""
    with torch.device("meta"):
        return make().state_dict()


def check_tensors(found: Any, expected: Mapping[str, Tensor]) -> None:
    """Compare tensors with those that are expected, by name: names, dtypes, shapes, values.

    Floating-point values must be finite, integers be counts. Raises ValueError, naming the first tensor that differs.
    """
    check_layout(found, expected)
    for name, tensor in found.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ValueError(f"{name} is not finite")
        if (
            not tensor.is_floating_point()
            and tensor.numel()
            and not 0 <= int(tensor.min()) <= int(tensor.max()) < _MOST
        ):
            raise ValueError(f"{name} has values that are no counts")


def check_layout(found: Any, expected: Mapping[str, Tensor]) -> None:
    """Compare names, dtypes and shapes like ``check_tensors``."""
    if not isinstance(found, Mapping):
        raise ValueError(f"expected tensors by name, found {type(found).__name__}")
    for name, wanted in expected.items():
        if name not in found:
            raise ValueError(f"{name} is missing")
        _check_one(name, found[name], wanted)
    for name in found:
        if name not in expected:
            raise ValueError(f"{name} does not belong there")


def _check_one(name: str, tensor: Any, wanted: Tensor) -> None:
    if not isinstance(tensor, Tensor) or tensor.layout is not torch.strided:
        raise ValueError(f"{name} is no dense tensor")
    if tensor.dtype != wanted.dtype or tensor.shape != wanted.shape:
        raise ValueError(f"{name} is {_described(tensor)}, expected {_described(wanted)}")


def _described(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
