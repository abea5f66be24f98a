import dataclasses

import torch

from iscc_lidar.trainer.data.pack import pack, unpack
from iscc_lidar.trainer.pretrain.samples.batch import Batch


def test_a_batch_comes_back_as_it_was_out_of_one_buffer(batch: Batch):
    packed = pack(batch)
    again = unpack(packed)
    assert again.names == batch.names
    for one, other in zip(tensors(batch), tensors(again), strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
        assert other.data_ptr() % 64 == packed.buffer.data_ptr() % 64
        assert other.untyped_storage().data_ptr() == packed.buffer.untyped_storage().data_ptr()


def test_a_batch_without_groups_and_queries(batch: Batch):
    empty = dataclasses.replace(
        batch, **{name: getattr(batch, name)[:0] for name in ("scene", "query_voxel", "offset", "occupied")}
    )
    assert [t.shape for t in tensors(unpack(pack(empty)))] == [t.shape for t in tensors(empty)]


def tensors(batch: Batch) -> list[torch.Tensor]:
    seen: list[torch.Tensor] = []
    batch.map(lambda tensor: (seen.append(tensor), tensor)[1])
    return seen
