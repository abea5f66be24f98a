"""Exported files, read by the conventions of the code bases they go to, give our features."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from iscc_lidar.trainer.data.voxelize import Voxels, join_voxels
from iscc_lidar.trainer.export.source import INPUT_SCALE
from iscc_lidar.trainer.export.spconv_network import Axes, to_spconv
from iscc_lidar.trainer.model.unet import SparseUNet
from iscc_lidar.trainer.pretrain.config import PretrainConfig

import dense_unet as twin

NORM = ("weight", "bias", "running_mean", "running_var")


def metres(sweeps: list[Voxels]) -> Tensor:
    return torch.from_numpy(np.concatenate([np.column_stack([v.xyz, v.feats[:, 3]]) for v in sweeps]))


def network_layers(weights: dict[str, Tensor]) -> Callable[[str], object]:
    """Layers of a file with the names of iscc_network.py."""

    def layer(name: str) -> object:
        kernel = weights[f"{name}.conv.weight"]
        if kernel.ndim == 2:  # a Linear
            kernel = kernel[:, None, None, None]
        return twin.Layer(kernel, {leaf: weights[f"{name}.norm.{leaf}"] for leaf in NORM})

    return layer


def minkunet_layers(weights: dict[str, Tensor]) -> Callable[[str], object]:
    """Layers of a file with the names of mmdetection3d's MinkUNetBackbone on spconv, after its loading."""
    rules = (
        (r"stem\.(\d)", r"conv_input.\1.0", r"conv_input.\1.1"),
        (r"(encoder|decoder)\.(\d)\.(down|up)", r"\1.\2.0.0", r"\1.\2.0.1"),
        (r"(encoder\.\d)\.blocks\.(\d)\.conv(\d)", r"\1.<\2>.conv\3", r"\1.<\2>.bn\3"),
        (r"(encoder\.\d)\.blocks\.(\d)\.skip", r"\1.<\2>.downsample.0", r"\1.<\2>.downsample.1"),
        (r"(decoder\.\d)\.blocks\.(\d)\.conv(\d)", r"\1.1.\2.conv\3", r"\1.1.\2.bn\3"),
        (r"(decoder\.\d)\.blocks\.(\d)\.skip", r"\1.1.\2.downsample.0", r"\1.1.\2.downsample.1"),
    )

    def place(name: str, which: int) -> str:
        for rule in rules:
            if re.fullmatch(rule[0], name):
                theirs = re.sub(rule[0], rule[which], name)
                return re.sub(r"<(\d)>", lambda m: str(int(m[1]) + 1), theirs)  # the strided one comes first
        raise KeyError(name)

    def layer(name: str) -> object:
        kernel = weights[f"{place(name, 1)}.weight"].permute(4, 0, 1, 2, 3).float().contiguous()
        if kernel.shape[1] == 1:  # spconv 2 reads this memory as [C_in, C_out]
            kernel = kernel.view(kernel.shape[4], kernel.shape[0]).T[:, None, None, None]
        return twin.Layer(kernel, {leaf: weights[f"{place(name, 2)}.{leaf}"] for leaf in NORM})

    return layer


def read(path: Path, key: str, prefix: str) -> dict[str, Tensor]:
    content = torch.load(path, weights_only=True)
    assert set(content) == {key}
    assert all(name.startswith(prefix) for name in content[key])
    return {name.removeprefix(prefix): tensor for name, tensor in content[key].items()}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("target", "file", "key", "prefix", "axes", "scale"),
    [
        ("pointcept", "iscc_encoder.pth", "state_dict", "backbone.network.", "xyz", INPUT_SCALE),
        ("openpcdet", "iscc_encoder.pth", "model_state", "backbone_3d.network.", "zyx", INPUT_SCALE),
        ("mmdetection3d", "minkunet_spconv.pth", "state_dict", "backbone.", "xyz", (1, 1, 1, 1)),
    ],
)
def test_dense_convolutions_give_the_same_features(
    exported: Callable[[str], Path],
    encoder: SparseUNet,
    config: PretrainConfig,
    sweeps: list[Voxels],
    target: str,
    file: str,
    key: str,
    prefix: str,
    axes: Axes,
    scale: tuple[float, ...],
    training: bool,
):
    weights = read(exported(target) / file, key, prefix)
    layers = minkunet_layers(weights) if target == "mmdetection3d" else network_layers(weights)
    near = [nearby(v, 8.0) for v in sweeps]
    coords, feats = join_voxels(near)
    grid = coords if axes == "xyz" else coords[:, [0, 3, 2, 1]]
    assert (grid[:, 1:].amax(0) % 2 == 0).all()  # odd axes, whose last cell must not get lost
    with torch.no_grad():
        wanted = encoder.train(training)(coords, feats)
        found = twin.dense_unet(layers, config.model, grid, metres(near) * torch.tensor(scale), training)
    if target == "mmdetection3d":  # its network joins no levels
        found, wanted = (features[:, : config.model.decoder_widths[-1]] for features in (found, wanted))
    assert wanted.abs().max() > 0.1
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def nearby(voxels: Voxels, reach_m: float) -> Voxels:
    """The voxels around the sensor: a grid that a dense convolution can afford, of an odd number of cells."""
    keep = np.abs(voxels.xyz[:, :2]).max(axis=1) < reach_m
    coords = voxels.coords[keep]
    coords = coords - coords.min(axis=0)
    coords += coords.max(axis=0) % 2
    return dataclasses.replace(voxels, coords=coords, feats=voxels.feats[keep], xyz=voxels.xyz[keep])


@pytest.mark.parametrize(
    ("backend", "file"), [("torchsparse", "minkunet_torchsparse.pth"), ("spconv", "minkunet_spconv.pth")]
)
def test_names_and_shapes_are_those_of_mmdetection3d(exported: Callable[[str], Path], backend: str, file: str):
    theirs = json.loads(Path(__file__).with_name("minkunet_backbone_keys.json").read_text(encoding="utf-8"))[backend]
    ours = read(exported("mmdetection3d") / file, "state_dict", "backbone.")
    shapes = {k: list((t.permute(4, 0, 1, 2, 3) if t.ndim == 5 else t).shape) for k, t in ours.items()}
    assert shapes == theirs


def test_torchsparse_file_holds_our_kernels_with_the_scale_of_the_input(
    exported: Callable[[str], Path], encoder: SparseUNet
):
    weights = read(exported("mmdetection3d") / "minkunet_torchsparse.pth", "state_dict", "backbone.")
    ours = encoder.state_dict()
    assert torch.equal(weights["encoder.1.2.net.3.kernel"], ours["encoder.1.blocks.1.conv2.conv.kernel"])
    assert torch.equal(weights["decoder.0.1.0.downsample.0.kernel"], ours["decoder.0.blocks.0.skip.conv.kernel"])
    scaled = ours["stem.0.conv.kernel"] * torch.tensor(INPUT_SCALE)[:, None]
    assert torch.equal(weights["conv_input.0.net.0.kernel"].float(), scaled)


def test_spconv_layout_puts_each_offset_where_its_axes_are():
    # kernel 3: (dx + 1) + 3 (dy + 1) + 9 (dz + 1); kernel 2: dz + 2 dy + 4 dx
    large = to_spconv(torch.arange(27.0)[:, None, None], "xyz")
    assert large[0, 2, 1, 0, 0] == 2 + 3 * 1 + 9 * 0
    assert to_spconv(torch.arange(27.0)[:, None, None], "zyx")[0, 0, 1, 2, 0] == 2 + 3 * 1 + 9 * 0
    small = to_spconv(torch.arange(8.0)[:, None, None], "xyz")
    assert small[0, 1, 0, 1, 0] == 1 + 4
    assert small[0, 1, 1, 0, 0] == 2 + 4
    assert to_spconv(torch.arange(8.0)[:, None, None], "zyx")[0, 0, 1, 1, 0] == 2 + 4


def test_other_kernels_are_refused():
    with pytest.raises(ValueError, match="27 or 8"):
        to_spconv(torch.zeros(125, 2, 2), "xyz")
