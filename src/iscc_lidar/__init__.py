"""Self-supervised pre-training for LiDAR by Implicit Surface Contrastive Clustering (ISCC).

Encoders, groups, caches and predictions from Python; docs/api.md has examples. Every name is imported when it is first
used, so that ``import iscc_lidar`` is light and reading a cache needs neither torch nor dask.

Data goes one way: ``preprocess`` turns raw sweeps into a cache of group labels and occupancy
queries, ``data_schemas`` says what that cache looks like, ``shared`` reads it, ``trainer`` learns
an encoder from it. ``preprocess`` and ``trainer`` never import each other; ``api`` is above both.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

_MODULES = {
    "Cache": "api.cache",
    "CachedSequence": "api.cache",
    "CachedSweep": "api.cache",
    "DetectedBoxes": "api.networks",
    "Detector": "api.networks",
    "Encoder": "api.networks",
    "Segmenter": "api.networks",
    "SpreadLabels": "shared.cache.spread_labels",
    "UserError": "shared.base.errors",
    "group": "api.functions",
    "load_encoder": "api.functions",
    "load_model": "api.functions",
    "open_cache": "api.functions",
    "pretrain": "api.functions",
    "spread_labels": "api.functions",
}
"""Where each public name is; ``__init__.pyi`` is the same for editors and type checkers."""

__all__ = [*_MODULES, "preprocess"]


def __getattr__(name: str) -> Any:
    if name == "preprocess":
        return importlib.import_module("iscc_lidar.preprocess")
    if name not in _MODULES:
        raise AttributeError(f"module 'iscc_lidar' has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(f"iscc_lidar.{_MODULES[name]}"), name)
    return found


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


class _CallableModule(ModuleType):
    """The part ``iscc_lidar.preprocess``, which as a function is ``api.functions.preprocess``."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.__wrapped__(*arguments, **options)

    @property
    def __wrapped__(self) -> Any:
        return importlib.import_module("iscc_lidar.api.functions").preprocess

    @property
    def __signature__(self) -> Any:
        return importlib.import_module("inspect").signature(self.__wrapped__)


class _Package(ModuleType):
    """Make the part ``preprocess`` callable when it is first imported: part and function have one name."""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "preprocess" and isinstance(value, ModuleType):
            value.__class__ = _CallableModule
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
