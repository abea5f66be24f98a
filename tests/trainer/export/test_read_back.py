"""Exports read back, by inverting each conversion, are the encoder bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from iscc_lidar.trainer.export.mmdetection3d import to_minkunet
from iscc_lidar.trainer.export.source import TrainedRun
from iscc_lidar.trainer.export.spconv_network import Axes, to_spconv
from iscc_lidar.trainer.model.unet import SparseUNet
from iscc_lidar.trainer.pretrain.config import PretrainConfig

from exports import from_minkunet, from_spconv, read_back, read_model

FILES = {
    "native": {"encoder.safetensors"},
    "pointcept": {"iscc_encoder.pth", "iscc_network.py", "iscc_pointcept.py", "iscc_config.py"},
    "mmdetection3d": {"minkunet_spconv.pth", "minkunet_torchsparse.pth", "iscc_mmdetection3d.py", "iscc_config.py"},
    "openpcdet": {"iscc_encoder.pth", "iscc_network.py", "iscc_openpcdet.py", "iscc_config.yaml"},
}


@pytest.mark.parametrize("target", FILES)
def test_an_export_read_back_is_the_encoder(
    exported: Callable[[str], Path], encoder: SparseUNet, config: PretrainConfig, target: str
):
    folder = exported(target)
    assert {path.name for path in folder.iterdir()} == FILES[target] | {"config.json", "MODEL_CARD.md"}
    assert read_model(folder) == config.model
    weights = read_back(folder, target)
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
