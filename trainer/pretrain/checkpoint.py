"""Checkpoints: weights as safetensors for whoever uses them, everything else apart for going on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import torch
from torch import nn

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.hardware.device import Compute
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.losses.memory import Memory
from iscc_lidar.trainer.pretrain.losses.prototypes import Prototypes
from iscc_lidar.trainer.pretrain.methods.iscc import new_prototypes
from iscc_lidar.trainer.pretrain.methods.method import find_method
from iscc_lidar.trainer.pretrain.student import GroupEncoder, Student
from iscc_lidar.trainer.pretrain.teacher import start_teacher
from iscc_lidar.trainer.run import resume_file
from iscc_lidar.trainer.run.resume_file import RESUME_FILE
from iscc_lidar.trainer.run.weights import ENCODER_FILE, load_weights, write_weights

HEADS_FILE: Final = "heads.safetensors"


@dataclass
class TrainState:
    """All that changes during training. A method without a teacher leaves it as it started."""

    step: int
    student: GroupEncoder
    teacher: GroupEncoder
    memory: Memory
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    """Keeps gradients of fp16 from vanishing; idle in other precisions."""


def new_state(config: PretrainConfig, compute: Compute) -> TrainState:
    """Networks, memory and optimiser at step 0, drawn from the seed."""
    method = find_method(config.method.name)
    torch.manual_seed(config.train.seed)
    student = method.student(config.model, config.heads, compute).to(compute.device)
    teacher = GroupEncoder(config.model, config.heads, compute).to(compute.device)
    start_teacher(teacher, student)
    memory = method.memory(config).to(compute.device)
    optimizer = torch.optim.AdamW(
        student.parameters(), lr=config.train.learning_rate, weight_decay=config.train.weight_decay, fused=True
    )
    scaler = torch.amp.GradScaler(compute.device.type, enabled=compute.half is torch.float16)
    return TrainState(0, student, teacher, memory, optimizer, scaler)


def save(out: Path, state: TrainState, config: PretrainConfig) -> None:
    """Write the weights, then the resume file, each in one step."""
    about = {"step": state.step, "model": asdict(config.model)}
    heads = {k: v for k, v in state.student.state_dict().items() if not k.startswith("encoder.")}
    write_weights(out / ENCODER_FILE, state.student.encoder.state_dict(), about)
    write_weights(out / HEADS_FILE, heads, about)
    content = {
        "step": state.step,
        "student": state.student.state_dict(),
        "teacher": state.teacher.state_dict(),
        "memory": state.memory.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "scaler": state.scaler.state_dict(),
        "torch_rng": torch.get_rng_state(),
    }
    resume_file.write(out, content)


def restore(out: Path, state: TrainState) -> None:
    """Bring a state to where the checkpoint in ``out`` was taken. Raises UserError where it is damaged."""
    parts = {name: getattr(state, name) for name in ("student", "teacher", "memory", "optimizer")}
    content = resume_file.restore(out, parts, state.scaler)
    try:
        torch.set_rng_state(content["torch_rng"])
        state.step = content["step"]
    except (KeyError, RuntimeError, ValueError, TypeError) as error:
        raise resume_file.does_not_fit(out, error) from None


def load_student(out: Path, config: PretrainConfig) -> Student:
    """The student of a run, from its weight files; of a method other than ISCC its decoder is not a trained one."""
    student = Student(config.model, config.heads)
    load_weights(out, student.encoder, ENCODER_FILE)
    heads: dict[str, nn.Module] = {"head": student.head}
    if config.method.name == "iscc":
        heads["decoder"] = student.decoder
    load_weights(out, nn.ModuleDict(heads), HEADS_FILE)
    return student


def load_prototypes(out: Path, config: PretrainConfig) -> Prototypes:
    """F_g of an ISCC run, from its resume file. Raises UserError where that is missing, damaged or of another size."""
    prototypes, content = new_prototypes(config), resume_file.read(out)
    try:
        # "prototypes" is what the memory was called before there were other methods.
        prototypes.load_state_dict(content["memory" if "memory" in content else "prototypes"])
    except (KeyError, RuntimeError) as error:
        raise UserError(f"{out / RESUME_FILE}: holds no prototypes that fit this run ({error})") from None
    return prototypes
