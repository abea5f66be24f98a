"""Device, engine and precision of a run, chosen once from its options and from what this machine has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import torch

from iscc_lidar.shared.errors import UserError
from iscc_lidar.trainer.engine import NATIVE, Engine
from iscc_lidar.trainer.hardware.ranks import local_rank

DeviceName = Literal["auto", "cpu", "cuda"]
EngineName = Literal["auto", "native", "torchsparse"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]

_DTYPES: Final[dict[str, torch.dtype | None]] = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Compute:
    """How a network computes.

    Attributes:
        device: where its weights and inputs are.
        engine: what makes its sparse convolutions.
        half: type of the encoder's activations under autocast; None computes in float32.
        recompute: whether a stage's activations are computed again in the backward pass instead of kept.
    """

    device: torch.device
    engine: Engine = NATIVE
    half: torch.dtype | None = None
    recompute: bool = False


ON_CPU: Final = Compute(torch.device("cpu"))
"""What runs everywhere."""


def choose_compute(device: DeviceName, engine: EngineName, precision: Precision, recompute: bool) -> Compute:
    """Settle every ``auto``. Raises UserError where what is asked for cannot be had."""
    where = pick_device(device)
    made_by = NATIVE
    half = _auto_half(where, made_by) if precision == "auto" else _DTYPES[precision]
    return Compute(where, made_by, half, recompute)


def pick_device(name: DeviceName) -> torch.device:
    """Turn auto, cpu or cuda into this process's device. Raises UserError where CUDA is asked for and absent."""
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("train.device=cuda: PyTorch finds no CUDA device; use train.device=cpu or install a CUDA build")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    if local_rank() >= torch.cuda.device_count():
        raise UserError(
            f"process {local_rank()} of this machine has no GPU: there are {torch.cuda.device_count()}; start torchrun "
            "with --nproc-per-node of that many at most"
        )
    return torch.device("cuda", local_rank())


def _auto_half(device: torch.device, engine: Engine) -> torch.dtype | None:
    if device.type == "cpu":
        return None
    # TorchSparse has no kernels for bfloat16.
    return torch.bfloat16 if engine is NATIVE and torch.cuda.is_bf16_supported() else torch.float16
