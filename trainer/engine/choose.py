"""Choose an engine by name: TorchSparse where it is installed and right, else the native one."""

from __future__ import annotations

import importlib
import importlib.util
import signal
import subprocess
import sys
import warnings
from contextlib import nullcontext
from functools import cache
from typing import Final, Literal, cast

import torch

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.engine import NATIVE, Engine

EngineName = Literal["auto", "native", "torchsparse"]

_VERSION: Final = "2.1"
# A GPU newer than the build compiles its kernels at the first start.
_PATIENCE_S: Final = 600


def load_engine(name: EngineName, device: torch.device) -> Engine:
    """Load the engine of the sparse convolutions.

    ``auto`` takes TorchSparse on a CUDA device where it is installed and passes its check, else native; where it
    is installed and fails, a warning tells why. On a CPU torchsparse is not imported.

    Raises:
        UserError: torchsparse is asked for and cannot be had: says what was found and what to do.
    """
    if name == "native" or (name == "auto" and (device.type != "cuda" or not _installed())):
        return NATIVE
    try:
        return _checked_torchsparse(device)
    except UserError as error:
        told = f"engine torchsparse: {error}. How to install and check it: docs/torchsparse.md"
        if name == "torchsparse":
            raise UserError(f"{told}. The native engine runs everywhere: train.engine=native") from error
        warnings.warn(f"{told}. Going on with the native engine", stacklevel=2)
        return NATIVE


def import_torchsparse(device: torch.device) -> Engine:
    """Import the TorchSparse engine, unchecked. Raises UserError where that fails or the version is another."""
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError("PyTorch finds no CUDA device")
    try:
        # The import asks for the current device's capability.
        with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
            found = str(importlib.import_module("torchsparse").__version__)
            if found.split(".")[:2] == _VERSION.split("."):
                return cast(Engine, importlib.import_module("iscc_lidar.trainer.engine.torchsparse_engine"))
    except Exception as error:  # without a GPU, or built for another PyTorch, it raises whatever comes
        raise UserError(f"its import fails with {type(error).__name__}: {error}") from error
    raise UserError(f"version {_VERSION} is needed, {found} is installed")


def _checked_torchsparse(device: torch.device) -> Engine:
    if device.type != "cuda":
        raise UserError(f"it needs a CUDA device, and this run computes on {device}")
    if not _installed():
        raise UserError("it is not installed")
    fault = _fault(device)
    if fault:
        raise UserError(fault)
    return import_torchsparse(device)


def _installed() -> bool:
    spec = importlib.util.find_spec("torchsparse")
    return spec is not None and spec.origin is not None  # a mere folder of that name, such as a clone, has none


@cache
def _fault(device: torch.device) -> str | None:
    """Import and check TorchSparse in a process of its own, which may crash, or lose its GPU, in place of this one."""
    command = [sys.executable, "-m", "iscc_lidar.trainer.engine.check", "torchsparse", "--device", str(device)]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        return f"its check ({' '.join(command[1:])}) has not ended within {_PATIENCE_S} s"
    if ended.returncode == 0:
        return None
    lines = ended.stderr.strip().splitlines()
    reason = lines[-1] if lines and ended.returncode > 0 else signal.strsignal(-ended.returncode)
    return f"its check ({' '.join(command[1:])}) failed: {reason}"
