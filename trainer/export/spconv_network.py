"""Our architecture on spconv 2, for code bases that have none like it: kernels, checkpoint and files."""

from __future__ import annotations

import io
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final, Literal

import torch
from torch import Tensor

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.export.source import INPUT_SCALE, TrainedRun, Weights
from iscc_lidar.trainer.model.unet import ModelConfig

WEIGHTS_FILE: Final = "iscc_encoder.pth"
NETWORK_FILE: Final = "iscc_network.py"
_TEMPLATES: Final = "iscc_lidar.trainer.export.templates"

Axes = Literal["xyz", "zyx"]
"""Order of the spatial columns of the voxel indices."""


@dataclass(frozen=True)
class Checkpoint:
    """Where a code base expects the network's weights: under ``key``, each name after ``prefix``; its voxel columns."""

    key: str
    prefix: str
    axes: Axes


def template(name: str) -> bytes:
    """Read a file that is exported as it is."""
    return (resources.files(_TEMPLATES) / name).read_bytes()


def torch_bytes(content: dict[str, Any]) -> bytes:
    """Return the content of a ``.pth`` file; of containers and tensors alone, ``torch.load`` needs weights_only."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def network_files(run: TrainedRun, checkpoint: Checkpoint, module_file: str) -> dict[str, bytes]:
    """Return weights, our network, and the code base's own module around it, by file name."""
    weights = to_network(run.weights, checkpoint.axes, checkpoint.prefix)
    return {
        WEIGHTS_FILE: torch_bytes({checkpoint.key: weights}),
        NETWORK_FILE: template(NETWORK_FILE),
        module_file: template(module_file),
    }


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
        "input_scale": INPUT_SCALE,
    }


def plain_snippet(model: ModelConfig, checkpoint: Checkpoint) -> str:
    """Return Python code that loads the weights with spconv alone, from within the folder of the export."""
    options = ", ".join(f"{name}={value!r}" for name, value in network_options(model).items())
    return f"""\
import spconv.pytorch as spconv
import torch
from iscc_network import SpconvUNet, padded_shape

network = SpconvUNet({options})
weights = torch.load("{WEIGHTS_FILE}", weights_only=True)["{checkpoint.key}"]
network.load_state_dict({{name.removeprefix("{checkpoint.prefix}"): tensor for name, tensor in weights.items()}})
network.eval()

# voxels: int32 [N, 4], (batch, {", ".join(checkpoint.axes)}), >= 0, unique
# features: [N, {model.in_channels}], mean x, y, z in metres and mean intensity of each voxel's points
voxels = torch.tensor([[0, 5, 6, 7], [0, 5, 6, 8]], dtype=torch.int32)
features = torch.tensor([[4.1, -2.0, -1.5, 0.3], [4.1, -2.0, -1.3, 0.2]])
shape = padded_shape((voxels[:, 1:].amax(0) + 1).tolist(), network.depth)
with torch.no_grad():
    finest, coarsest = network(spconv.SparseConvTensor(features, voxels, shape, batch_size=1))
print(finest.features.shape)  # [N, {model.out_channels}], row for row those of the voxels
"""


def _to_layer(name: str, kernel: Tensor, axes: Axes) -> Tensor:
    if kernel.ndim == 2:
        return kernel.T.contiguous()
    try:
        return to_spconv(kernel, axes)
    except ValueError as error:
        raise UserError(f"{name}: {error}; only the native export supports it: --to native") from None
