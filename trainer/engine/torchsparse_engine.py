"""The TorchSparse 2.1 engine, CUDA only. Importing this module imports torchsparse.

Load it with ``load_engine``, which checks it first. Limitations of TorchSparse 2.1.0 that are handled here, by the
function in its source:

- ``build_kernel_map`` without a spatial range, or with an odd one, loses the last cell of an axis in a strided
  convolution, and without padding that of a kernel of 3: ``_convolve`` passes both.
- ``downsample_hashmap_kmap_stage3`` stores a coarse cell's index in 32 bits: from 2**31 coarse cells on, the
  "on the fly" builder of maps loses voxels or writes out of bounds. Larger grids use the other builder.
- ``conv3d`` stores the hash table of a strided convolution's output under the input's stride, where a submanifold
  convolution would take it for its own; no table is kept between calls.
- ``conv3d`` stores a transposed convolution's output voxels only if another layer had its output there.
- A map made without gradients has no part for the backward pass, and is reused all the same: made again.
- The kernels exist in float16 and float32 and ignore autocast: the casts are made here.
- ``backends.allow_tf32`` is on from Ampere on: it follows PyTorch's setting here.
- Kernels run on the default stream of the current device, whatever PyTorch's current stream is: any other stream is
  refused.

Not handled: a convolution keeps its input for the backward pass without autograd's knowledge. Changing that input in
place afterwards gives wrong gradients without an error, and activation checkpointing saves less memory.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torchsparse import SparseTensor as Voxels
from torchsparse import backends
from torchsparse.nn import functional
from torchsparse.nn.functional.conv.utils import AttributeDict
from torchsparse.utils.tensor_cache import TensorCache

from iscc_lidar.trainer.engine.coordinates import coarsen, sorted_coordinates
from iscc_lidar.trainer.engine.native import layers

# N voxels of the tensor's level, C channels, K kernel offsets

_MOST_COARSE_CELLS: Final = 2**31 - 2
_NO_DILATION: Final = (1, 1, 1)
_AMPERE: Final = 800


@dataclass(frozen=True)
class TorchSparseTensor:
    """Features on the occupied voxels of one level, and the maps of one forward pass.

    Attributes:
        voxels: torchsparse.SparseTensor with rows sorted by (batch, x, y, z) on every level.
    """

    voxels: Any

    @property
    def feats(self) -> Tensor:
        """Features [N, C]."""
        feats: Tensor = self.voxels.feats
        return feats

    def with_feats(self, feats: Tensor) -> TorchSparseTensor:
        """Return the same voxels with other features [N, C']."""
        old = self.voxels
        voxels = Voxels(feats, old.coords, old.stride, old.spatial_range)
        voxels._caches = old._caches
        return TorchSparseTensor(voxels)

    def parent_rows(self) -> Tensor:
        """Return the row, one level coarser, of the cell that contains each voxel, int64 [N]."""
        return coarsen(sorted_coordinates(self.voxels.coords.int()))[1]


def sparse_tensor(bxyz: Tensor, feats: Tensor) -> TorchSparseTensor:
    """Put features [N, C] on voxels int32 [N, 4] (batch, x, y, z) that are >= 0, unique and sorted.

    Raises ValueError if the rows do not match or the voxels are not as stated.
    """
    if len(bxyz) != len(feats):
        raise ValueError(f"{len(bxyz)} voxels but {len(feats)} rows of features")
    cells = tuple(n + 1 for n in sorted_coordinates(bxyz).largest)
    voxels = Voxels(feats, bxyz.contiguous(), 1, cells)
    voxels._caches = TensorCache()  # TorchSparse's "global" mode would share one among all tensors
    voxels._caches.cmaps[voxels.stride] = (voxels.coords, cells)
    return TorchSparseTensor(voxels)


class TorchSparseConv3d(layers.SparseConv3d):
    """The native layer's constructor, parameters and initial values, computed by TorchSparse.

    Under autocast the result has autocast's dtype. float16 is computed in float16 if the GPU supports it (compute
    capability 7.5), otherwise in float32; so is bfloat16, because gradients without loss scaling, which bfloat16
    permits, would underflow in float16.
    """

    def forward(self, x: TorchSparseTensor) -> TorchSparseTensor:  # type: ignore[override]
        """Convolve to the same level, one coarser (stride 2) or one finer (transposed)."""
        if self.kernel_size == 1:
            return x.with_feats(x.feats @ self.kernel)
        dtype = _output_dtype(x.feats)
        computed = torch.float16 if dtype is torch.float16 and backends.allow_fp16 else torch.float32
        out = self._convolve(x.with_feats(x.feats.to(computed)).voxels, self.kernel.to(computed))
        return TorchSparseTensor(out).with_feats(out.feats.to(dtype))

    def _convolve(self, x: Any, kernel: Tensor) -> Any:
        size, stride = (self.kernel_size,) * 3, (self.stride,) * 3
        training = torch.is_grad_enabled()
        maps = x._caches.kmaps
        fine = tuple(s // self.stride for s in x.stride) if self.transposed else x.stride
        known = maps.get((fine, size, stride, _NO_DILATION))
        if self.transposed and known is None:
            raise ValueError("a transposed convolution needs an input made by a strided one")
        if known is not None and training and not self.transposed and known["out_in_map_bwd"] is None:
            del maps[fine, size, stride, _NO_DILATION]
        x._caches.hashmaps.clear()
        if self.stride > 1 and not self.transposed:
            x.spatial_range = _rounded_up(x.spatial_range, self.stride)
        _follow_tf32_setting()
        with _default_stream(x.feats.device):
            return functional.conv3d(
                x,
                kernel,
                size,
                stride=stride,
                padding=0 if self.stride > 1 else self.kernel_size // 2,
                config=_config(x.spatial_range, self.stride),
                transposed=self.transposed,
                training=training,
            )


SparseConv3d = TorchSparseConv3d
"""The layer under the name that ``Engine`` requires."""


def _output_dtype(feats: Tensor) -> torch.dtype:
    if feats.dtype is torch.float64:
        raise ValueError("TorchSparse computes in float32 and float16; float64 needs the native engine")
    device = feats.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else feats.dtype


def _rounded_up(spatial_range: tuple[int, ...], stride: int) -> tuple[int, ...]:
    batch, *cells = spatial_range
    return (batch, *(-(-n // stride) * stride for n in cells))


def _config(spatial_range: tuple[int, ...], stride: int) -> Any:
    batch, *cells = spatial_range
    on_the_fly = stride == 1 or batch * math.prod(n // stride for n in cells) <= _MOST_COARSE_CELLS
    return AttributeDict(
        {
            "dataflow": functional.Dataflow.ImplicitGEMM,
            "kmap_mode": "hashmap_on_the_fly" if on_the_fly else "hashmap",
            "downsample_mode": "spconv",
            "ifsort": False,
            "split_mask_num": 1,
            "split_mask_num_bwd": 3,
        }
    )


def _follow_tf32_setting() -> None:
    # Not matmul.allow_tf32: reading it fails once the newer setting has been used.
    allowed = torch.backends.cuda.matmul.fp32_precision == "tf32"
    backends.allow_tf32 = allowed and backends.device_capability >= _AMPERE


def _default_stream(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which TorchSparse's kernels run on the tensor's device, in order with PyTorch's."""
    if device.type != "cuda":
        return nullcontext()
    if torch.cuda.current_stream(device) != torch.cuda.default_stream(device):
        raise RuntimeError(
            "TorchSparse runs on the default CUDA stream only, and would not wait for work on another one: "
            "call the network outside of torch.cuda.stream(...), or use the native engine"
        )
    return torch.cuda.device(device)
