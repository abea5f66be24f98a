"""Exports under spconv itself, an implementation that shares nothing with ours. Needs: pip install spconv==2.3.8."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from iscc_lidar.trainer.data.voxelize import Voxels, join_voxels
from iscc_lidar.trainer.export import openpcdet, pointcept
from iscc_lidar.trainer.export.source import TrainedRun
from iscc_lidar.trainer.export.spconv_network import WEIGHTS_FILE, network_options
from iscc_lidar.trainer.model.unet import SparseUNet
from iscc_lidar.trainer.pretrain.config import PretrainConfig

spconv: Any = pytest.importorskip("spconv.pytorch", reason="spconv is not installed: pip install spconv==2.3.8")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On a CPU spconv's threads add into the same rows at once, and lose some (2.3.8)."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], str]:
    """A function that makes a folder importable as a package, beside a Pointcept that has just a registry."""

    def make(folder: Path) -> str:
        name = "exported_" + folder.name
        module = types.ModuleType(name)
        module.__path__ = [str(folder)]
        monkeypatch.setitem(sys.modules, name, module)
        for leaf in ("iscc_network", "iscc_pointcept", "iscc_openpcdet"):
            monkeypatch.delitem(sys.modules, f"{name}.{leaf}", raising=False)
        return name

    def register(_: str) -> Callable[[type], type]:
        return lambda kind: kind

    def offset2batch(offset: Tensor) -> Tensor:
        counts = torch.diff(offset, prepend=offset.new_zeros(1))
        return torch.arange(len(offset)).repeat_interleave(counts)

    for name in ("pointcept", "pointcept.models", "pointcept.models.builder", "pointcept.models.utils"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr(
        sys.modules["pointcept.models.builder"],
        "MODELS",
        types.SimpleNamespace(register_module=register),
        raising=False,
    )
    monkeypatch.setattr(sys.modules["pointcept.models.utils"], "offset2batch", offset2batch, raising=False)
    return make


def inputs(sweeps: list[Voxels]) -> tuple[Tensor, Tensor, Tensor]:
    """Voxels, our features, and the features in metres that other code bases give."""
    coords, feats = join_voxels(sweeps)
    metres = torch.from_numpy(np.concatenate([np.column_stack([v.xyz, v.feats[:, 3]]) for v in sweeps]))
    return coords, feats, metres


def load(module: torch.nn.Module, path: Path, key: str, prefix: str) -> torch.nn.Module:
    weights = torch.load(path, weights_only=True)[key]
    module.load_state_dict({name.removeprefix(prefix): tensor for name, tensor in weights.items()})
    return module


@pytest.mark.parametrize("training", [False, True])
def test_pointcept_backbone(
    exported: Callable[[str], Path],
    package: Callable[[Path], str],
    encoder: SparseUNet,
    config: PretrainConfig,
    sweeps: list[Voxels],
    training: bool,
):
    folder = exported("pointcept")
    module = importlib.import_module(package(folder) + ".iscc_pointcept")
    backbone = module.ISCCSparseUNet(**network_options(config.model))
    load(backbone, folder / WEIGHTS_FILE, pointcept.BASE.key, "backbone.").train(training)
    coords, feats, metres = inputs(sweeps)
    data = {"grid_coord": coords[:, 1:].long(), "feat": metres, "offset": coords[:, 0].bincount().cumsum(0)}
    with torch.no_grad():
        found, wanted = backbone(data), encoder.train(training)(coords, feats)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("training", [False, True])
def test_openpcdet_backbone(
    exported: Callable[[str], Path],
    package: Callable[[Path], str],
    encoder: SparseUNet,
    config: PretrainConfig,
    sweeps: list[Voxels],
    training: bool,
):
    folder = exported("openpcdet")
    module = importlib.import_module(package(folder) + ".iscc_openpcdet")
    model_cfg = types.SimpleNamespace(**{k.upper(): v for k, v in network_options(config.model).items()})
    coords, feats, metres = inputs(sweeps)
    size, low = config.model.voxel_size, np.array([-30.0, -20.0, -5.0, 0.0, 0.0, 0.0])
    grid = coords[:, 1:].amax(0).numpy() + np.array([1, 2, 4])
    backbone = module.ISCCUNet(model_cfg, 4, grid, [size] * 3, low)
    load(backbone, folder / WEIGHTS_FILE, openpcdet.BASE.key, "backbone_3d.").train(training)
    data = {"batch_size": 2, "voxel_features": metres, "voxel_coords": coords[:, [0, 3, 2, 1]].contiguous()}
    with torch.no_grad():
        result, wanted = backbone(data), encoder.train(training)(coords, feats)
    torch.testing.assert_close(result["point_features"], wanted, rtol=1e-4, atol=1e-4)
    centres = (coords[:, 1:].float() + 0.5) * size + torch.tensor(low[:3], dtype=torch.float32)
    torch.testing.assert_close(result["point_coords"], torch.cat([coords[:, :1].float(), centres], dim=1))
    assert backbone.num_point_features == config.model.out_channels
    assert result["encoded_spconv_tensor_stride"] == 4
    assert result["encoded_spconv_tensor"].features.shape[1] == config.model.encoder_widths[-1]


def test_spconv_reads_mmdetection3ds_kernels_of_1_as_they_are_written(run: TrainedRun, exported: Callable[[str], Path]):
    weights = torch.load(exported("mmdetection3d") / "minkunet_spconv.pth", weights_only=True)["state_dict"]
    ours = run.weights["decoder.0.blocks.0.skip.conv.kernel"]
    conv = spconv.SubMConv3d(*ours.shape, 1, bias=False)
    # mmdetection3d permutes on loading: [k, k, k, C_in, C_out] to spconv 2's [C_out, k, k, k, C_in].
    conv.weight.data.copy_(weights["backbone.decoder.0.1.0.downsample.0.weight"].permute(4, 0, 1, 2, 3))
    feats = torch.randn(5, len(ours))
    indices = torch.cat([torch.zeros(5, 1), torch.arange(5)[:, None].repeat(1, 3)], dim=1).int()
    found = conv(spconv.SparseConvTensor(feats, indices, [8, 8, 8], 1)).features
    torch.testing.assert_close(found, feats @ ours)


@pytest.mark.parametrize("target", [pointcept, openpcdet], ids=["pointcept", "openpcdet"])
def test_snippet_for_spconv_alone_runs(
    exported: Callable[[str], Path],
    run: TrainedRun,
    config: PretrainConfig,
    target: Any,
    monkeypatch: pytest.MonkeyPatch,
):
    folder = exported(target.__name__.rpartition(".")[2])
    code = target.export(run).how_to_load.split("```python\n")[-1].partition("```")[0]
    assert "import spconv" in code
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "iscc_network", raising=False)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["finest"].features.shape == (2, config.model.out_channels)
    monkeypatch.delitem(sys.modules, "iscc_network")
