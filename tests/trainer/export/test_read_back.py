"""Exports read back, by inverting each conversion, are the encoder bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from iscc_lidar.trainer.export import mmdetection3d, openpcdet, pointcept
from iscc_lidar.trainer.export.mmdetection3d import Backend, module_names, to_minkunet
from iscc_lidar.trainer.export.source import INPUT_SCALE, TrainedRun, Weights
from iscc_lidar.trainer.export.spconv_network import WEIGHTS_FILE, Axes, Checkpoint, to_spconv
from iscc_lidar.trainer.model.unet import ModelConfig, SparseUNet
from iscc_lidar.trainer.pretrain.config import PretrainConfig

FILES = {
    "native": {"encoder.safetensors"},
    "pointcept": {"iscc_encoder.pth", "iscc_network.py", "iscc_pointcept.py", "iscc_config.py"},
    "mmdetection3d": {"minkunet_spconv.pth", "minkunet_torchsparse.pth", "iscc_mmdetection3d.py", "iscc_config.py"},
    "openpcdet": {"iscc_encoder.pth", "iscc_network.py", "iscc_openpcdet.py", "iscc_config.yaml"},
}


def from_spconv(weight: Tensor, axes: Axes) -> Tensor:
    """[C_out, k, k, k, C_in] to [27 or 8, C_in, C_out], the inverse of to_spconv."""
    k = weight.shape[1]
    grid = weight.permute(1, 2, 3, 4, 0)
    if ("z" if k == 3 else "x") != axes[0]:
        grid = grid.transpose(0, 2)
    return grid.reshape(k**3, weight.shape[4], weight.shape[0]).contiguous()


def from_network(path: Path, checkpoint: Checkpoint) -> Weights:
    ours: Weights = {}
    for name, tensor in torch.load(path, weights_only=True)[checkpoint.key].items():
        module, _, leaf = name.removeprefix(checkpoint.prefix).rpartition(".")
        if module.endswith("conv") and leaf == "weight":
            kernel = tensor.T.contiguous() if tensor.ndim == 2 else from_spconv(tensor, checkpoint.axes)
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


def read_back(folder: Path, target: str, model: ModelConfig) -> Weights:
    if target == "native":
        return safetensors.torch.load_file(folder / "encoder.safetensors")
    if target == "mmdetection3d":
        content = torch.load(folder / mmdetection3d.WEIGHTS_FILES["spconv"], weights_only=True)
        return from_minkunet(content[mmdetection3d.KEY], model, "spconv")
    place = {"pointcept": pointcept.CHECKPOINT, "openpcdet": openpcdet.CHECKPOINT}[target]
    return from_network(folder / WEIGHTS_FILE, place)


@pytest.mark.parametrize("target", FILES)
def test_an_export_read_back_is_the_encoder(
    exported: Callable[[str], Path], encoder: SparseUNet, config: PretrainConfig, target: str
):
    folder = exported(target)
    assert {path.name for path in folder.iterdir()} == FILES[target] | {"config.json", "MODEL_CARD.md"}
    options = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model"]
    model = ModelConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in options.items()})
    assert model == config.model
    weights = read_back(folder, target, model)
    wanted = encoder.state_dict()
    assert weights.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert weights[name].dtype == tensor.dtype, name
        assert torch.equal(weights[name], tensor), name


def test_torchsparse_names_read_back_are_the_encoder(run: TrainedRun):
    there = to_minkunet(run.weights, run.config.model, "torchsparse")
    back = from_minkunet(there, run.config.model, "torchsparse")
    assert all(torch.equal(back[name], tensor) for name, tensor in run.weights.items())


@given(st.sampled_from([27, 8]), st.sampled_from(["xyz", "zyx"]), st.integers(1, 4), st.integers(1, 4))
def test_spconv_layout_and_back(offsets: int, axes: Axes, c_in: int, c_out: int):
    kernel = torch.arange(offsets * c_in * c_out, dtype=torch.float32).reshape(offsets, c_in, c_out)
    there = to_spconv(kernel, axes)
    k = round(offsets ** (1 / 3))
    assert there.shape == (c_out, k, k, k, c_in)
    assert torch.equal(from_spconv(there, axes), kernel)
