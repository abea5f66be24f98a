"""A stand-in for TorchSparse 2.1.0 on a CPU: the part of its interface that the engine uses, and its traps.

Written from its behaviour as read in its source (``torchsparse/nn/functional/conv``, ``torchsparse/backend``):
what the adapter would get wrong there goes wrong here in the same way.

- Without a spatial range, or with an odd one, a strided convolution loses the last cell; a kernel of 3 without
  padding takes the last cells out of the range.
- The "on the fly" builder of maps loses pairs of coarse cells from number 2**31 on; "hashmap" does not.
- A strided convolution files its output's table under its input's stride.
- A transposed convolution takes map and voxels from the cache, or fails with KeyError or TypeError.
- A map made with training=False cannot be trained through. Autocast is not seen. No bfloat16, no float64.
"""

from __future__ import annotations

import enum
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor

# N input rows, M output rows, K offsets

VERSION = "2.1.0"
calls: list[tuple[torch.dtype, bool]] = []
"""Type and TF32 setting of every convolution computed, in order."""


class Dataflow(enum.Enum):
    ImplicitGEMM = 0


class AttributeDict(dict[str, Any]):
    __getattr__ = dict.__getitem__


class TensorCache:
    def __init__(self) -> None:
        self.cmaps: dict[Any, Any] = {}
        self.kmaps: dict[Any, Any] = {}
        self.hashmaps: dict[Any, Any] = {}


class SparseTensor:
    def __init__(self, feats: Tensor, coords: Tensor, stride: Any = 1, spatial_range: Any = None) -> None:
        self.feats, self.coords, self.spatial_range = feats, coords, spatial_range
        self.stride = (stride,) * 3 if isinstance(stride, int) else stride
        self._caches = TensorCache()


backends = ModuleType("torchsparse.backends")
backends.__dict__.update(allow_tf32=True, allow_fp16=True, device_capability=800)


def conv3d(
    x: SparseTensor,
    weight: Tensor,
    kernel_size: tuple[int, int, int],
    stride: tuple[int, int, int],
    padding: int,
    config: AttributeDict,
    transposed: bool,
    training: bool,
) -> SparseTensor:
    caches = x._caches
    fine = tuple(s // t for s, t in zip(x.stride, stride, strict=True)) if transposed else x.stride
    key = (fine, kernel_size, stride, (1, 1, 1))
    if transposed:
        kmap = caches.kmaps.get(key)
        pairs, back = _swapped(kmap["out_in_map"], kmap["sizes"][0]), kmap["out_in_map"] if training else None
        out_stride, (coords, spatial_range) = fine, caches.cmaps[fine]
    else:
        if key not in caches.kmaps:
            assert x.coords.dtype == torch.int32
            caches.kmaps[key] = _new_map(x, kernel_size[0], stride[0], padding, config.kmap_mode, training)
        kmap = caches.kmaps[key]
        pairs, back = kmap["out_in_map"], kmap["out_in_map_bwd"]
        coords, spatial_range = kmap["coords"], kmap["spatial_range"]
        out_stride = tuple(s * t for s, t in zip(x.stride, stride, strict=True))
    feats: Tensor = _Convolution.apply(x.feats, weight, pairs, back)  # type: ignore[no-untyped-call]
    out = SparseTensor(feats, coords, out_stride, spatial_range)
    out._caches = caches
    caches.cmaps.setdefault(out_stride, (coords, spatial_range))
    return out


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, pairs: Tensor, back: Tensor | None) -> Tensor:
        for tensor in (x, weight):
            if tensor.dtype not in (torch.float16, torch.float32):
                raise RuntimeError(f"expected scalar type Float but found {tensor.dtype}")
        calls.append((x.dtype, backends.allow_tf32))
        ctx.kept = (x, weight, back)
        return _apply(x.float(), weight.float(), pairs).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, weight, back = ctx.kept
        grad_x = _apply(grad.float(), weight.float().transpose(1, 2), back)
        columns = [back[:, k] for k in range(back.shape[1])]
        grad_weight = [x[c >= 0].float().t() @ grad[c[c >= 0]].float() for c in columns]
        return grad_x.to(x.dtype), torch.stack(grad_weight).to(weight.dtype), None, None


def _apply(x: Tensor, weight: Tensor, pairs: Tensor) -> Tensor:
    padded = torch.cat([x, x.new_zeros(1, x.shape[1])])
    return sum((padded[pairs[:, k]] @ weight[k] for k in range(len(weight))), x.new_zeros(()))


def _swapped(pairs: Tensor, n_in: int) -> Tensor:
    """The map [N, K] from each input row to the output row that it meets, from that [M, K] of the other way."""
    swapped = torch.full((n_in, pairs.shape[1]), -1)
    rows, offsets = torch.nonzero(pairs >= 0, as_tuple=True)
    swapped[pairs[rows, offsets], offsets] = rows
    return swapped


def _new_map(x: SparseTensor, size: int, stride: int, padding: int, mode: str, training: bool) -> dict[str, Any]:
    fine = x.coords.long()
    spatial_range = None
    if x.spatial_range is not None:
        batch, *cells = x.spatial_range
        spatial_range = (batch, *((n + 2 * padding - size) // stride + 1 for n in cells))
        largest = torch.tensor(spatial_range) - 1
    else:
        largest = fine.amax(0)
        if stride > 1:
            largest[1:] = (largest[1:] - 1) // 2
    pairs, coords = (_strided if stride > 1 else _submanifold)(x, fine, largest, mode)
    back = _swapped(pairs, len(fine)) if training else None
    sizes = (len(fine), len(coords))
    return {
        "out_in_map": pairs,
        "out_in_map_bwd": back,
        "coords": coords.int(),
        "sizes": sizes,
        "spatial_range": spatial_range,
    }


def _submanifold(x: SparseTensor, fine: Tensor, largest: Tensor, mode: str) -> tuple[Tensor, Tensor]:
    table = x._caches.hashmaps.setdefault(x.stride, torch.sort(_numbers(fine, largest)))
    steps = torch.tensor([[0, i % 3 - 1, i // 3 % 3 - 1, i // 9 - 1] for i in range(27)])
    neighbours = fine[:, None] + steps
    inside = ((neighbours >= 0) & (neighbours <= largest))[..., 1:].all(-1)
    pairs = torch.where(inside, _rows(table, _numbers(neighbours, largest)), -1)
    pairs[:, 13] = torch.arange(len(fine))
    return pairs, fine


def _strided(x: SparseTensor, fine: Tensor, largest: Tensor, mode: str) -> tuple[Tensor, Tensor]:
    parents = torch.cat([fine[:, :1], fine[:, 1:] // 2], dim=1)
    if mode == "hashmap":
        largest = parents.amax(0)
    kept = torch.nonzero((parents <= largest)[:, 1:].all(1)).squeeze(1)
    numbers = _numbers(parents[kept], largest)
    coarse, parent = torch.unique(numbers, return_inverse=True)
    coords = torch.empty(len(coarse), 4, dtype=torch.int64)
    coords[parent] = parents[kept]
    x._caches.hashmaps[x.stride] = (coarse, torch.arange(len(coarse)))
    offset = ((fine[kept, 1:] % 2) * torch.tensor([4, 2, 1])).sum(1)
    found = numbers < 2**31 if mode == "hashmap_on_the_fly" else torch.ones_like(numbers, dtype=torch.bool)
    pairs = torch.full((len(coarse), 8), -1)
    pairs[parent[found], offset[found]] = kept[found]
    return pairs, coords


def _numbers(cells: Tensor, largest: Tensor) -> Tensor:
    number = torch.zeros_like(cells[..., 0])
    for axis in range(4):
        number = number * (largest[axis] + 1) + cells[..., axis]
    return number


def _rows(table: Any, numbers: Tensor) -> Tensor:
    keys, rows = table
    at = torch.searchsorted(keys, numbers).clamp(max=len(keys) - 1)
    return torch.where(keys[at] == numbers, rows[at], -1)


def modules() -> dict[str, ModuleType]:
    """The stand-in's modules by name, as they go into sys.modules."""
    functional = SimpleNamespace(conv3d=conv3d, Dataflow=Dataflow)
    contents: dict[str, dict[str, Any]] = {
        "torchsparse": {"SparseTensor": SparseTensor, "backends": backends, "__version__": VERSION},
        "torchsparse.nn": {"functional": functional},
        "torchsparse.nn.functional": vars(functional),
        "torchsparse.nn.functional.conv": {},
        "torchsparse.nn.functional.conv.utils": {"AttributeDict": AttributeDict},
        "torchsparse.utils": {},
        "torchsparse.utils.tensor_cache": {"TensorCache": TensorCache},
    }
    made: dict[str, ModuleType] = {"torchsparse.backends": backends}
    for name, content in contents.items():
        made[name] = ModuleType(name)
        made[name].__dict__.update(content)
    return made


if __name__ == "torchsparse":  # put on the path under that name
    sys.modules.update({k: v for k, v in modules().items() if k != "torchsparse"})
    __version__ = VERSION
