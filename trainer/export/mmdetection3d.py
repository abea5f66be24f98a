"""``--to mmdetection3d``: checkpoints for its MinkUNetBackbone, which is our architecture, on either of two engines.

Its preprocessing gives x, y, z in metres and cannot scale them, so the scale is multiplied into the weights of the
first convolution. They are stored in float64, in which the products are exact, and rounded on loading.
"""

from __future__ import annotations

from typing import Final, Literal

import torch
from torch import Tensor

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.export.description import Export
from iscc_lidar.trainer.export.source import INPUT_SCALE, TrainedRun, Weights
from iscc_lidar.trainer.export.spconv_network import to_spconv, torch_bytes
from iscc_lidar.trainer.export.templates import fill, template
from iscc_lidar.trainer.model.unet import ModelConfig

Backend = Literal["torchsparse", "spconv"]

LAYOUT: Final = (
    "minkunet_torchsparse.pth: as TorchSparse has it, `kernel` [K, C_in, C_out]; minkunet_spconv.pth: `weight` "
    "[k, k, k, C_in, C_out], kernel axes x, y, z, as mmdetection3d expects of files without a version. Its network "
    "gives the last decoder stage's features alone, whatever `out_levels` says."
)
WEIGHTS_FILES: Final[dict[Backend, str]] = {
    "torchsparse": "minkunet_torchsparse.pth",
    "spconv": "minkunet_spconv.pth",
}
MODULE_FILE: Final = "iscc_mmdetection3d.py"
CONFIG_FILE: Final = "iscc_config.py"
KEY: Final = "state_dict"
PREFIX: Final = "backbone."

_FIRST: Final = "stem.0.conv.kernel"
_SCALE: Final = torch.tensor(INPUT_SCALE, dtype=torch.float32).double()[:, None]
_CONV_LEAVES: Final[dict[Backend, dict[str, str]]] = {
    "torchsparse": {"conv": "net.0", "norm": "net.1"},
    "spconv": {"conv": "0", "norm": "1"},
}
_BLOCK_LEAVES: Final[dict[Backend, dict[str, str]]] = {
    "torchsparse": {"conv1.conv": "net.0", "conv1.norm": "net.1", "conv2.conv": "net.3", "conv2.norm": "net.4"},
    "spconv": {"conv1.conv": "conv1", "conv1.norm": "bn1", "conv2.conv": "conv2", "conv2.norm": "bn2"},
}
_SKIP_LEAVES: Final = {"skip.conv": "downsample.0", "skip.norm": "downsample.1"}


def export(run: TrainedRun) -> Export:
    """Export for mmdetection3d."""
    model = run.config.model
    config = fill(
        "mmdetection3d_config.tmpl",
        voxel_size=model.voxel_size,
        in_channels=model.in_channels,
        out_channels=model.decoder_widths[-1],
        stages=len(model.encoder_widths),
        stem_width=model.stem_width,
        encoder_widths=list(model.encoder_widths),
        encoder_blocks=[model.blocks] * len(model.encoder_widths),
        decoder_widths=list(model.decoder_widths),
        decoder_blocks=[model.blocks] * len(model.decoder_widths),
    )
    weights = {
        name: torch_bytes({KEY: to_minkunet(run.weights, model, backend)}) for backend, name in WEIGHTS_FILES.items()
    }
    files = weights | {MODULE_FILE: template(MODULE_FILE), CONFIG_FILE: config.encode()}
    scaling = "`times` is part of the first convolution's weights: give metres, as mmdetection3d does."
    return Export(LAYOUT, scaling, files, fill("mmdetection3d_load.md", config=config))


def to_minkunet(weights: Weights, model: ModelConfig, backend: Backend) -> Weights:
    """Convert an encoder's weights to the names and layout of MinkUNetBackbone.

    Raises UserError for a weight that it has no layer for.
    """
    modules = module_names(model, backend)
    theirs: Weights = {}
    for name, tensor in weights.items():
        module, _, leaf = name.rpartition(".")
        if module not in modules:
            raise UserError(f"{name}: mmdetection3d's MinkUNetBackbone has no such layer; export --to native instead")
        scaled = tensor.double() * _SCALE if name == _FIRST else tensor
        if leaf == "kernel" and backend == "spconv":
            theirs[f"{PREFIX}{modules[module]}.weight"] = _to_mmcv(scaled)
        else:
            theirs[f"{PREFIX}{modules[module]}.{leaf}"] = scaled
    return theirs


def module_names(model: ModelConfig, backend: Backend) -> dict[str, str]:
    """Return the name in MinkUNetBackbone of each of our modules with weights."""
    conv, block = _CONV_LEAVES[backend], _BLOCK_LEAVES[backend] | _SKIP_LEAVES
    stages = range(len(model.encoder_widths))
    pairs = [(f"stem.{i}", f"conv_input.{i}", conv) for i in range(2)]
    for stage in stages:
        pairs += [
            (f"encoder.{stage}.down", f"encoder.{stage}.0", conv),
            (f"decoder.{stage}.up", f"decoder.{stage}.0", conv),
        ]
        for i in range(model.blocks):
            pairs.append((f"encoder.{stage}.blocks.{i}", f"encoder.{stage}.{i + 1}", block))
            pairs.append((f"decoder.{stage}.blocks.{i}", f"decoder.{stage}.1.{i}", block))
    return {f"{ours}.{a}": f"{theirs}.{b}" for ours, theirs, leaves in pairs for a, b in leaves.items()}


def _to_mmcv(kernel: Tensor) -> Tensor:
    """Convert to the layout of mmcv's spconv, which mmdetection3d permutes to spconv 2's on loading."""
    if kernel.ndim == 3:
        return to_spconv(kernel, "xyz").permute(1, 2, 3, 4, 0).contiguous()
    # spconv 2 (2.3.8, conv.py) reads the memory of a kernel of 1 as [C_in, C_out], whatever its shape says.
    n_in, n_out = kernel.shape
    return kernel.reshape(n_out, 1, 1, 1, n_in).permute(1, 2, 3, 4, 0).contiguous()
