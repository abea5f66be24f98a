"""Device, engine and precision of a run, chosen once by its options and this machine."""

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
    """Device, engine and precision of a network.

    Attributes:
        device: of its weights and inputs.
        engine: of its sparse convolutions.
        half: dtype of the backbone's activations under autocast; None computes in float32.
        activation_checkpointing: recompute a stage's activations in the backward pass instead of keeping them.
    """

    device: torch.device
    engine: Engine = NATIVE
    half: torch.dtype | None = None
    activation_checkpointing: bool = False

    def summary(self) -> dict[str, str]:
        """Describe the choice for logs and the run folder."""
        return {
            "device": "cpu" if self.device.type == "cpu" else torch.cuda.get_device_name(self.device),
            "engine": "native" if self.engine is NATIVE else "torchsparse",
            "precision": next(name for name, dtype in _DTYPES.items() if dtype is self.half),
            "processes": str(world_size()),
        }


_MACHINE_THREADS: Final = torch.get_num_threads()
ON_CPU: Final = Compute(torch.device("cpu"))


def choose_compute(
    device: DeviceName, engine: EngineName, precision: Precision, activation_checkpointing: bool
) -> Compute:
    """Resolve every ``auto``. Raises UserError if a requested choice is not available."""
    chosen_device = pick_device(device)
    chosen_engine = load_engine(engine, chosen_device)
    half = _auto_half(chosen_device, chosen_engine) if precision == "auto" else _DTYPES[precision]
    if chosen_engine is not NATIVE and half is torch.bfloat16:
        raise UserError("train.precision=bf16: TorchSparse has no kernels for it; use train.engine=native")
    return Compute(chosen_device, chosen_engine, half, activation_checkpointing)


def leave_a_core() -> None:
    """Leave one core to the loader: of two cores, the second made a network's step no faster."""
    torch.set_num_threads(max(1, _MACHINE_THREADS - 1))


@contextmanager
def oom_to_user_error() -> Iterator[None]:
    """Turn a GPU's out-of-memory error into a UserError that names the options that help."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"the GPU is out of memory ({str(error).splitlines()[0]}). train.activation_checkpointing=true needs less, "
            "also with --resume; a new run, in another --out or with --overwrite, needs less by a larger "
            "train.micro_batches, train.precision=bf16, a smaller train.batch_size or a larger model.voxel_size"
        ) from None


def pick_device(name: DeviceName) -> torch.device:
    """Return this process's device for auto, cpu or cuda. Raises UserError if CUDA is requested but not available."""
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("train.device=cuda: PyTorch finds no CUDA device; use train.device=cpu or install a CUDA build")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    if local_rank() >= torch.cuda.device_count():
        raise UserError(
            f"process {local_rank()} on this machine has no GPU: there are {torch.cuda.device_count()}; start torchrun "
            f"with --nproc-per-node={torch.cuda.device_count()} at most"
        )
    return torch.device("cuda", local_rank())


def _auto_half(device: torch.device, engine: Engine) -> torch.dtype | None:
    if device.type == "cpu":
        return None
    # TorchSparse has no kernels for bfloat16.
    return torch.bfloat16 if engine is NATIVE and torch.cuda.is_bf16_supported() else torch.float16
