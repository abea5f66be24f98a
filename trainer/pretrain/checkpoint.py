"""Checkpoints: weights as safetensors for whoever uses them, everything else apart for going on."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, cast

import safetensors.torch
import torch
from torch import nn

from iscc_lidar.shared import files
from iscc_lidar.shared.errors import UserError
from iscc_lidar.trainer.config import PretrainConfig
from iscc_lidar.trainer.hardware.compute import Compute
from iscc_lidar.trainer.losses.prototypes import Prototypes
from iscc_lidar.trainer.model.student import GroupEncoder, Student
from iscc_lidar.trainer.pretrain.teacher import start_teacher

ENCODER_FILE: Final = "encoder.safetensors"
HEADS_FILE: Final = "heads.safetensors"
RESUME_FILE: Final = "resume.pt"


@dataclass
class TrainState:
    """All that changes during training."""

    step: int
    student: Student
    teacher: GroupEncoder
    prototypes: Prototypes
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    """Keeps gradients of fp16 from vanishing; idle in other precisions."""


def new_state(config: PretrainConfig, compute: Compute) -> TrainState:
    """Networks, prototypes and optimiser at step 0, drawn from the seed."""
    torch.manual_seed(config.train.seed)
    student = Student(config.model, config.heads, compute).to(compute.device)
    teacher = GroupEncoder(config.model, config.heads, compute).to(compute.device)
    start_teacher(teacher, student)
    prototypes = Prototypes(config.clustering, config.heads.project_channels, config.train.seed).to(compute.device)
    optimizer = torch.optim.AdamW(
        student.parameters(), lr=config.train.learning_rate, weight_decay=config.train.weight_decay
    )
    scaler = torch.amp.GradScaler(compute.device.type, enabled=compute.half is torch.float16)
    return TrainState(0, student, teacher, prototypes, optimizer, scaler)


def save(out: Path, state: TrainState, config: PretrainConfig) -> None:
    """Write the weights, then the resume state, each in one step."""
    # One entry only: safetensors writes several in no fixed order, and equal runs should give equal files.
    about = {"iscc_lidar": json.dumps({"step": state.step, "model": asdict(config.model)})}
    heads = {k: v for k, v in state.student.state_dict().items() if not k.startswith("encoder.")}
    _write_weights(out / ENCODER_FILE, state.student.encoder.state_dict(), about)
    _write_weights(out / HEADS_FILE, heads, about)
    buffer = io.BytesIO()
    torch.save(
        {
            "step": state.step,
            "student": state.student.state_dict(),
            "teacher": state.teacher.state_dict(),
            "prototypes": state.prototypes.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "scaler": state.scaler.state_dict(),
            "torch_rng": torch.get_rng_state(),
        },
        buffer,
    )
    files.write_bytes(out / RESUME_FILE, buffer.getvalue())


def restore(out: Path, state: TrainState) -> None:
    """Bring a state to where the checkpoint in ``out`` was taken. Raises UserError where it is damaged."""
    content = _read(out / RESUME_FILE)
    try:
        for name in ("student", "teacher", "prototypes", "optimizer"):
            getattr(state, name).load_state_dict(content[name])
        if content["scaler"]:  # empty where the run computed so far without one, on a CPU say
            state.scaler.load_state_dict(content["scaler"])
        torch.set_rng_state(content["torch_rng"])
        state.step = content["step"]
    except (KeyError, RuntimeError, ValueError, TypeError) as error:
        raise UserError(f"{out / RESUME_FILE}: does not fit this run ({error}); start anew with --overwrite") from None


def saved_step(out: Path) -> int:
    """Step of the checkpoint in ``out``. Raises UserError where there is none, or a damaged one."""
    return int(_read(out / RESUME_FILE)["step"])


def _read(path: Path) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for damaged files
        raise UserError(
            f"{path}: not a readable checkpoint ({type(error).__name__}: {error}); start anew with --overwrite"
        ) from None
    return cast(dict[str, Any], content)


def load_weights(out: Path, module: nn.Module, *names: str) -> None:
    """Load weight files of ``out`` into a module that they fit, strictly. Raises UserError otherwise."""
    weights: dict[str, torch.Tensor] = {}
    for name in names:
        try:
            weights |= safetensors.torch.load_file(out / name)
        except (OSError, safetensors.SafetensorError) as error:
            raise UserError(f"{out / name}: no readable weights ({error}); has the run reached a checkpoint?") from None
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(f"{out}: its weights do not fit the network of its config.json: {error}") from None


def load_student(out: Path, config: PretrainConfig) -> Student:
    """The student of a run, from its weight files."""
    student = Student(config.model, config.heads)
    load_weights(out, student.encoder, ENCODER_FILE)
    heads = nn.ModuleDict({"head": student.head, "decoder": student.decoder})
    load_weights(out, heads, HEADS_FILE)
    return student


def _write_weights(path: Path, weights: dict[str, torch.Tensor], about: dict[str, str]) -> None:
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    files.write_bytes(path, safetensors.torch.save(plain, metadata=about))


def load_prototypes(out: Path, config: PretrainConfig) -> Prototypes:
    """F_g of a run, from its resume state. Raises UserError where that is missing, damaged or of another size."""
    prototypes = Prototypes(config.clustering, config.heads.project_channels, config.train.seed)
    try:
        prototypes.load_state_dict(_read(out / RESUME_FILE)["prototypes"])
    except (KeyError, RuntimeError) as error:
        raise UserError(f"{out / RESUME_FILE}: holds no prototypes that fit this run ({error})") from None
    return prototypes
