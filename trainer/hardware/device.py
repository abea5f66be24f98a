"""Device, engine and precision of a run, chosen once from its options and from what this machine has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

import torch

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.engine import NATIVE, Engine
from iscc_lidar.trainer.engine.choose import EngineName, load_engine
from iscc_lidar.trainer.hardware.distributed import local_rank, world_size

DeviceName = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]

_DTYPES: Final[dict[str, torch.dtype | None]] = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Compute:
    """How a network computes.

    Attributes:
        device: where its weights and inputs are.
        engine: what makes its sparse convolutions.
        half: type of the encoder's activations under autocast; None computes in float32.
        activation_checkpointing: whether a stage's activations are computed again in the backward pass instead of kept.
    """

    device: torch.device
    engine: Engine = NATIVE
    half: torch.dtype | None = None
    activation_checkpointing: bool = False

    def summary(self) -> dict[str, str]:
        """Describe the choice for logs and the run folder."""
        device = "cpu" if self.device.type == "cpu" else torch.cuda.get_device_name(self.device)
        precision = {torch.bfloat16: "bf16", torch.float16: "fp16", None: "fp32"}[self.half]
        return {
            "device": device,
            "engine": "native" if self.engine is NATIVE else "torchsparse",
            "precision": precision,
            "processes": str(world_size()),
        }


_MACHINE_THREADS: Final = torch.get_num_threads()

ON_CPU: Final = Compute(torch.device("cpu"))
"""What runs everywhere."""


def choose_compute(
    device: DeviceName, engine: EngineName, precision: Precision, activation_checkpointing: bool
) -> Compute:
    """Settle every ``auto``. Raises UserError where what is asked for cannot be had."""
    where = pick_device(device)
    made_by = load_engine(engine, where)
    half = _auto_half(where, made_by) if precision == "auto" else _DTYPES[precision]
    if made_by is not NATIVE and half is torch.bfloat16:
        raise UserError("train.precision=bf16: TorchSparse has no kernels for it; use fp16, or train.engine=native")
    return Compute(where, made_by, half, activation_checkpointing)


def leave_a_core() -> None:
    """Leave one core to the loader: on two, a second thread for the network made a step no faster."""
    torch.set_num_threads(max(1, _MACHINE_THREADS - 1))


@contextmanager
def oom_to_user_error() -> Iterator[None]:
    """Turn a GPU's running out of memory into a UserError that says what helps."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"the GPU's memory is full ({str(error).splitlines()[0]}). What needs less: a larger train.micro_batches, "
            "train.activation_checkpointing=true, train.precision=bf16, a smaller train.batch_size, a larger "
            "model.voxel_size"
        ) from None


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
