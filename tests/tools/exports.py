"""Read exports back, each by the conventions of the code base that it is for."""

import json
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from iscc_lidar.trainer.export import mmdetection3d, openpcdet, pointcept
from iscc_lidar.trainer.export.mmdetection3d import Backend, module_names
from iscc_lidar.trainer.export.source import INPUT_SCALE, Weights
from iscc_lidar.trainer.export.spconv_network import WEIGHTS_FILE, Axes, CodeBase
from iscc_lidar.trainer.model.unet import ModelConfig


def from_spconv(weight: Tensor, axes: Axes) -> Tensor:
    """[C_out, k, k, k, C_in] to [27 or 8, C_in, C_out], the inverse of to_spconv."""
    k = weight.shape[1]
    grid = weight.permute(1, 2, 3, 4, 0)
    if ("z" if k == 3 else "x") != axes[0]:
        grid = grid.transpose(0, 2)
    return grid.reshape(k**3, weight.shape[4], weight.shape[0]).contiguous()


def from_network(path: Path, base: CodeBase) -> Weights:
    ours: Weights = {}
    for name, tensor in torch.load(path, weights_only=True)[base.key].items():
        module, _, leaf = name.removeprefix(base.prefix).rpartition(".")
        if module.endswith("conv") and leaf == "weight":
            kernel = tensor.T.contiguous() if tensor.ndim == 2 else from_spconv(tensor, base.axes)
            ours[f"{module}.kernel"] = kernel
        else:
            ours[f"{module}.{leaf}"] = tensor
    return ours


def from_minkunet(weights: Weights, model: ModelConfig, backend: Backend) -> Weights:
    modules = {theirs: ours for ours, theirs in module_names(model, backend).items()}
    ours: Weights = {}
    for name, tensor in weights.items():
        theirs, _, leaf = name.removeprefix(mmdetection3d.PREFIX).rpartition(".")
        if tensor.ndim == 5:
            ours[f"{modules[theirs]}.kernel"] = from_mmcv(tensor)
        else:
            ours[f"{modules[theirs]}.{leaf}"] = tensor
    first = "stem.0.conv.kernel"
    ours[first] = (ours[first] / torch.tensor(INPUT_SCALE, dtype=torch.float32).double()[:, None]).float()
    return ours


def from_mmcv(weight: Tensor) -> Tensor:
    layer = weight.permute(4, 0, 1, 2, 3)
    return from_spconv(layer, "xyz") if layer.shape[1] > 1 else layer.reshape(layer.shape[4], layer.shape[0])


def read_model(folder: Path) -> ModelConfig:
    """Read the shape of the network in an export."""
    options = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model"]
    return ModelConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in options.items()})


def read_back(folder: Path, target: str) -> Weights:
    """Read the encoder in an export, by our names."""
    model = read_model(folder)
    if target == "native":
        return safetensors.torch.load_file(folder / "encoder.safetensors")
    if target == "mmdetection3d":
        content = torch.load(folder / mmdetection3d.WEIGHTS_FILES["spconv"], weights_only=True)
        return from_minkunet(content[mmdetection3d.KEY], model, "spconv")
    base = {"pointcept": pointcept.BASE, "openpcdet": openpcdet.BASE}[target]
    return from_network(folder / WEIGHTS_FILE, base)
