"""Choose an engine by name: TorchSparse if it is installed and passes its check, otherwise the native one."""

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
_TIMEOUT_S: Final = 600


def load_engine(name: EngineName, device: torch.device) -> Engine:
    """Load the sparse convolution engine.

    ``auto`` is TorchSparse on a CUDA device if it is installed and passes its check, otherwise native; if it is
    installed but fails, a warning gives the reason. On a CPU torchsparse is not imported.

    Raises:
        UserError: torchsparse is requested but not usable; gives the reason and what to do.
    """
    if name == "native" or (name == "auto" and (device.type != "cuda" or not _installed())):
        return NATIVE
    try:
        if device.type != "cuda":
            raise UserError(f"it needs a CUDA device, and this run computes on {device}")
        if not _installed():
            raise UserError("it is not installed")
        if fault := _fault(device):
            raise UserError(fault)
        return import_torchsparse(device)
    except UserError as error:
        problem = f"engine torchsparse: {error}. How to install and check it: docs/torchsparse.md"
        if name == "torchsparse":
            raise UserError(f"{problem}. The native engine runs everywhere: train.engine=native") from error
        warnings.warn(f"{problem}. Continuing with the native engine", stacklevel=2)
        return NATIVE


def import_torchsparse(device: torch.device) -> Engine:
    """Import the TorchSparse engine without its check. Raises UserError if that fails or the version differs."""
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError("PyTorch finds no CUDA device")
    try:
        # The import queries the current device's capability.
        with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
            found = str(importlib.import_module("torchsparse").__version__)
            if found.split(".")[:2] == _VERSION.split("."):
                return cast(Engine, importlib.import_module("iscc_lidar.trainer.engine.torchsparse_engine"))
    except Exception as error:  # without a GPU, or built for another PyTorch, it can raise anything
        raise UserError(f"its import fails with {type(error).__name__}: {error}") from error
    raise UserError(f"version {_VERSION} is needed, {found} is installed")


def _installed() -> bool:
    spec = importlib.util.find_spec("torchsparse")
    return spec is not None and spec.origin is not None  # a folder of that name, such as a clone, has none


@cache
def _fault(device: torch.device) -> str | None:
    """Import and check TorchSparse in a child process, which may crash or lose its GPU; return what failed, if any."""
    command = [sys.executable, "-m", "iscc_lidar.trainer.engine.check", "torchsparse", "--device", str(device)]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"its check ({' '.join(command[1:])}) did not end within {_TIMEOUT_S} s"
    if ended.returncode == 0:
        return None
    lines = ended.stderr.strip().splitlines()
    reason = lines[-1] if lines and ended.returncode > 0 else signal.strsignal(-ended.returncode)
    return f"its check ({' '.join(command[1:])}) failed: {reason}"
