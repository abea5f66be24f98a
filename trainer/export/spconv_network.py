"""Our architecture on spconv 2, for code bases that have none like it: kernels, checkpoint and files."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from torch import Tensor

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.export.description import Export
from iscc_lidar.trainer.export.source import INPUT_SCALE, TrainedRun, Weights
from iscc_lidar.trainer.export.templates import fill, template
from iscc_lidar.trainer.model.unet import ModelConfig

WEIGHTS_FILE: Final = "iscc_encoder.pth"
NETWORK_FILE: Final = "iscc_network.py"

Axes = Literal["xyz", "zyx"]
"""Order of the spatial columns of the voxel indices."""


@dataclass(frozen=True)
class CodeBase:
    """A code base that gets our network.

    Attributes:
        title: its name; in lower case, the name of its module and texts in templates/.
        key, prefix: its checkpoints have weights under ``key``, each name after ``prefix``.
        axes: spatial columns of its voxel indices.
        config_file: name of the file with what its config needs.
    """

    title: str
    key: str
    prefix: str
    axes: Axes
    config_file: str


def torch_bytes(content: dict[str, Any]) -> bytes:
    """Return the content of a ``.pth`` file; of containers and tensors alone, ``torch.load`` needs weights_only."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def network_export(run: TrainedRun, base: CodeBase, config: str) -> Export:
    """Export weights, our network, the code base's own module around it, and the text of its config file."""
    name = base.title.lower()
    weights = to_network(run.weights, base.axes, base.prefix)
    files = {WEIGHTS_FILE: torch_bytes({base.key: weights}), base.config_file: config.encode()}
    return Export(
        f"spconv 2: `weight` [C_out, k, k, k, C_in], kernel axes {', '.join(base.axes)}; kernel 1 is a Linear "
        "[C_out, C_in].",
        f"The network multiplies the features by `times` itself: give it metres, as {base.title} does.",
        files | {file: template(file) for file in (NETWORK_FILE, f"iscc_{name}.py")},
        fill(f"{name}_load.md", config=config, snippet=plain_snippet(run.config.model, base)),
    )


def to_network(weights: Weights, axes: Axes, prefix: str) -> Weights:
    """Convert an encoder's weights to the names and layout of templates/iscc_network.py, each name after ``prefix``.

    Raises UserError for a kernel that its layers do not have.
    """
    theirs: Weights = {}
    for name, tensor in weights.items():
        module, _, leaf = name.rpartition(".")
        if leaf == "kernel":
            theirs[f"{prefix}{module}.weight"] = _to_layer(name, tensor, axes)
        else:
            theirs[prefix + name] = tensor
    return theirs


def to_spconv(kernel: Tensor, axes: Axes) -> Tensor:
    """Convert a kernel from our layout to spconv 2's, [27 or 8, C_in, C_out] to [C_out, k, k, k, C_in].

    Ours is TorchSparse's, offsets numbered as in engine/native/kernel_map. The three kernel axes of spconv's follow
    the three spatial columns of the voxel indices.
    """
    edges = {27: 3, 8: 2}
    if len(kernel) not in edges:
        raise ValueError(f"a kernel has 27 or 8 offsets, not {len(kernel)}")
    k = edges[len(kernel)]
    grid = kernel.reshape(k, k, k, *kernel.shape[1:])
    slowest = "z" if k == 3 else "x"  # kernel 3: (dx+1) + 3 (dy+1) + 9 (dz+1); kernel 2: dz + 2 dy + 4 dx
    if slowest != axes[0]:
        grid = grid.transpose(0, 2)
    return grid.permute(4, 0, 1, 2, 3).contiguous()


def network_options(model: ModelConfig) -> dict[str, Any]:
    """Return the arguments of the network's class."""
    return {
        "in_channels": model.in_channels,
        "stem_width": model.stem_width,
        "encoder_widths": tuple(model.encoder_widths),
        "decoder_widths": tuple(model.decoder_widths),
        "blocks": model.blocks,
        "out_levels": model.out_levels,
        "input_scale": INPUT_SCALE,
    }


def plain_snippet(model: ModelConfig, base: CodeBase) -> str:
    """Return Python code that loads the weights with spconv alone, from within the folder of the export."""
    return fill(
        "spconv_load.tmpl",
        options=", ".join(f"{name}={value!r}" for name, value in network_options(model).items()),
        key=base.key,
        prefix=base.prefix,
        axes=", ".join(base.axes),
        in_channels=model.in_channels,
        out_channels=model.out_channels,
    )


def _to_layer(name: str, kernel: Tensor, axes: Axes) -> Tensor:
    if kernel.ndim == 2:
        return kernel.T.contiguous()
    try:
        return to_spconv(kernel, axes)
    except ValueError as error:
        raise UserError(f"{name}: {error}; only the native export supports it: --to native") from None
