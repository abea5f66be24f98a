"""The TorchSparse engine against the native one: over a stand-in everywhere, over the real one on a GPU."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.engine import NATIVE, Engine
from iscc_lidar.trainer.engine.check import LAYERS, TOLERANCE, check_engine, near_voxels
from iscc_lidar.trainer.engine.choose import import_torchsparse, load_engine
from iscc_lidar.trainer.model.unet import ModelConfig, SparseUNet

import torchsparse_stand_in as stand_in
from synthetic_voxels import synthetic_voxels

CPU = torch.device("cpu")
ADAPTER = "iscc_lidar.trainer.engine.torchsparse_engine"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The adapter, over the stand-in."""
    for name, module in stand_in.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    real = sys.modules.pop(ADAPTER, None)
    stand_in.calls.clear()
    yield import_torchsparse(CPU)
    sys.modules.pop(ADAPTER)
    if real is not None:
        sys.modules[ADAPTER] = real


@pytest.fixture
def real_engine() -> Engine:
    """The adapter, over TorchSparse itself, on a GPU."""
    if not torch.cuda.is_available():
        pytest.skip("TorchSparse needs a CUDA device; there is none")
    if importlib.util.find_spec("torchsparse") is None:
        pytest.skip("TorchSparse is not installed (docs/torchsparse.md)")
    return load_engine("torchsparse", torch.device("cuda"))


def relative(a: Tensor, b: Tensor) -> float:
    return float((a.detach() - b.detach()).abs().max() / b.detach().abs().max())


def network(engine: Engine, device: torch.device = CPU) -> SparseUNet:
    torch.manual_seed(3)
    return SparseUNet(ModelConfig(), engine).to(device)


def unsorted_input(n: int, device: torch.device = CPU) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    bxyz = synthetic_voxels(2, n)
    bxyz = bxyz[torch.randperm(len(bxyz), generator=generator)]
    return bxyz.to(device), torch.randn((len(bxyz), 4), generator=generator).to(device)


def assert_networks_agree(engine: Engine, device: torch.device) -> None:
    bxyz, feats = unsorted_input(1500, device)
    native, other = network(NATIVE, device), network(engine, device)
    assert all(
        torch.equal(a, b) for a, b in zip(native.state_dict().values(), other.state_dict().values(), strict=True)
    )
    for mode in (True, False):
        native.train(mode)
        other.train(mode)
        assert relative(other(bxyz, feats), native(bxyz, feats)) < 1e-4
    with torch.no_grad():
        assert relative(other(bxyz, feats), native(bxyz, feats)) < 1e-4


def test_every_layer_agrees_with_native_forward_and_backward(engine: Engine) -> None:
    worst = check_engine(engine, CPU)
    assert worst[torch.float32] < 1e-5
    assert stand_in.calls


def test_whole_network_agrees_with_native_to_1e_4(engine: Engine) -> None:
    assert_networks_agree(engine, CPU)


@pytest.mark.parametrize("depth", [1, 6])
def test_no_cell_is_lost_whatever_the_depth(engine: Engine, depth: int) -> None:
    levels = []
    for made_by in (engine, NATIVE):
        down = made_by.SparseConv3d(2, 2, 2, 2)
        torch.nn.init.ones_(down.kernel)
        x = made_by.sparse_tensor(near_voxels(), torch.ones(len(near_voxels()), 2))
        for _ in range(depth):
            x = down(x)
        levels.append(x.feats)
    torch.testing.assert_close(levels[0], levels[1])


def test_state_dicts_load_into_either_engine(engine: Engine) -> None:
    native, other = network(NATIVE), network(engine)
    for weights in other.parameters():
        torch.nn.init.normal_(weights)
    native.load_state_dict(other.state_dict())
    other.load_state_dict(native.state_dict())
    bxyz, feats = unsorted_input(200)
    assert relative(other.eval()(bxyz, feats), native.eval()(bxyz, feats)) < 1e-4


def one_layer(engine: Engine, dtype: torch.dtype) -> tuple[Tensor, torch.nn.Module]:
    torch.manual_seed(5)
    layer = engine.SparseConv3d(4, 8, 3)
    bxyz = near_voxels()
    out: Tensor = layer(engine.sparse_tensor(bxyz, torch.randn(len(bxyz), 4).to(dtype))).feats
    return out, layer


def test_bfloat16_autocast_computes_in_float32_and_gives_bfloat16(engine: Engine) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out, layer = one_layer(engine, torch.float32)
    out.float().sum().backward()
    assert out.dtype == torch.bfloat16
    assert {dtype for dtype, _ in stand_in.calls} == {torch.float32}
    assert isinstance(layer.kernel, Tensor)
    assert layer.kernel.grad is not None
    assert layer.kernel.grad.dtype == torch.float32


def test_float16_autocast_computes_in_float16_where_the_gpu_can(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for can, computed in ((True, torch.float16), (False, torch.float32)):
        monkeypatch.setattr(engine.backends, "allow_fp16", can)
        stand_in.calls.clear()
        with torch.autocast("cpu", dtype=torch.float16):
            out, _ = one_layer(engine, torch.float32)
        assert out.dtype == torch.float16
        assert {dtype for dtype, _ in stand_in.calls} == {computed}


def test_float64_is_refused(engine: Engine) -> None:
    with pytest.raises(ValueError, match="native engine"):
        one_layer(engine, torch.float64)


def test_tf32_follows_pytorch_and_the_gpu(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.backends.cuda.matmul.fp32_precision
    used = []
    try:
        for asked, capability in (("ieee", 800), ("tf32", 800), ("tf32", 750)):
            torch.backends.cuda.matmul.fp32_precision = asked
            monkeypatch.setattr(engine.backends, "device_capability", capability)
            one_layer(engine, torch.float32)
            used.append(stand_in.calls[-1][1])
    finally:
        torch.backends.cuda.matmul.fp32_precision = before
    assert used == [False, True, False]


def test_a_transposed_layer_needs_a_strided_one(engine: Engine) -> None:
    bxyz = near_voxels()
    x = engine.sparse_tensor(bxyz, torch.zeros(len(bxyz), 2))
    with pytest.raises(ValueError, match="strided one"):
        engine.SparseConv3d(2, 2, 2, 2, transposed=True)(x)


def test_voxels_not_as_stated_are_refused(engine: Engine) -> None:
    bxyz = near_voxels()
    for wrong in (bxyz.flip(0), bxyz - 1, bxyz.long()):
        with pytest.raises(ValueError, match="voxels must be"):
            engine.sparse_tensor(wrong, torch.zeros(len(bxyz), 2))
    with pytest.raises(ValueError, match="rows of features"):
        engine.sparse_tensor(bxyz, torch.zeros(1, 2))


def test_another_stream_is_refused(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: "mine")
    monkeypatch.setattr(torch.cuda, "default_stream", lambda device: "default")
    with pytest.raises(RuntimeError, match="default CUDA stream only"):
        engine._default_stream(torch.device("cuda"))


class _KeptTables(dict[Any, Any]):
    def clear(self) -> None:
        """Keep everything."""


@pytest.mark.parametrize("trap", ["odd range", "large grid", "tables kept"])
def test_the_check_finds_what_the_adapter_prevents(engine: Any, monkeypatch: pytest.MonkeyPatch, trap: str) -> None:
    if trap == "odd range":
        monkeypatch.setattr(engine, "_rounded_up", lambda spatial_range, stride: spatial_range)
    elif trap == "large grid":
        monkeypatch.setattr(engine, "_MOST_COARSE_CELLS", 2**62)
    else:

        class Cache(stand_in.TensorCache):  # type: ignore[misc,name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.hashmaps = _KeptTables()

        monkeypatch.setattr(engine, "TensorCache", Cache)
    with pytest.raises(UserError, match=r"differs by|level 1 has \d+ voxels, not \d+"):
        check_engine(engine, CPU)


def test_native_agrees_with_itself() -> None:
    assert check_engine(NATIVE, CPU)[torch.float32] == 0
    assert {layer.level for layer in LAYERS} == {0, 1, 2}


def test_real_torchsparse_agrees_with_native(real_engine: Engine) -> None:
    device = torch.device("cuda")
    worst = check_engine(real_engine, device)
    assert all(worst[dtype] <= TOLERANCE[dtype] for dtype in TOLERANCE)
    assert_networks_agree(real_engine, device)
