"""Our architecture on spconv 2, for code bases that have none like it: names, layout and files."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.export import torch_file
from iscc_lidar.trainer.export.source import INPUT_SCALE, TrainedRun, Weights
from iscc_lidar.trainer.export.spconv_layout import Axes, from_spconv, to_spconv
from iscc_lidar.trainer.model.unet import ModelConfig

WEIGHTS_FILE: Final = "iscc_encoder.pth"
NETWORK_FILE: Final = "iscc_network.py"
_TEMPLATES: Final = "iscc_lidar.trainer.export.templates"


def template(name: str) -> bytes:
    """Content of a file that goes beside the weights as it is."""
    return (resources.files(_TEMPLATES) / name).read_bytes()


def network_files(run: TrainedRun, module_file: str, key: str, axes: Axes, prefix: str) -> dict[str, bytes]:
    """Weights under ``key`` in a checkpoint, our network, and the code base's own module around it, by file name."""
    return {
        WEIGHTS_FILE: torch_file.to_bytes({key: to_network(run.weights, axes, prefix)}),
        NETWORK_FILE: template(NETWORK_FILE),
        module_file: template(module_file),
    }


def read_network(folder: Path, key: str, axes: Axes, prefix: str) -> Weights:
    """The encoder's weights, back from what network_files wrote."""
    return from_network(torch_file.read(folder / WEIGHTS_FILE)[key], axes, prefix)


def to_network(weights: Weights, axes: Axes, prefix: str) -> Weights:
    """Bring an encoder's weights to the names and layout of templates/iscc_network.py, each name after ``prefix``.

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


def from_network(weights: Weights, axes: Axes, prefix: str) -> Weights:
    """Invert to_network."""
    ours: Weights = {}
    for name, tensor in weights.items():
        module, _, leaf = name.removeprefix(prefix).rpartition(".")
        if module.endswith("conv") and leaf == "weight":
            kernel = tensor.T.contiguous() if tensor.ndim == 2 else from_spconv(tensor, axes)
            ours[f"{module}.kernel"] = kernel
        else:
            ours[f"{module}.{leaf}"] = tensor
    return ours


def network_options(model: ModelConfig) -> dict[str, Any]:
    """Arguments of the network's class."""
    return {
        "in_channels": model.in_channels,
        "stem_width": model.stem_width,
        "encoder_widths": tuple(model.encoder_widths),
        "decoder_widths": tuple(model.decoder_widths),
        "blocks": model.blocks,
        "input_scale": INPUT_SCALE,
    }


def plain_snippet(model: ModelConfig, axes: Axes, key: str, prefix: str) -> str:
    """Python that loads the weights with spconv alone, from within the folder of the export."""
    options = ", ".join(f"{name}={value!r}" for name, value in network_options(model).items())
    return f"""\
import spconv.pytorch as spconv
import torch
from iscc_network import SparseUNet, padded_shape

network = SparseUNet({options})
weights = torch.load("{WEIGHTS_FILE}", weights_only=True)["{key}"]
network.load_state_dict({{name.removeprefix("{prefix}"): tensor for name, tensor in weights.items()}})
network.eval()

# voxels: int32 [N, 4], (batch, {", ".join(axes)}), >= 0, unique
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
        raise UserError(f"{name}: {error}; only the native export can hold it: --to native") from None
