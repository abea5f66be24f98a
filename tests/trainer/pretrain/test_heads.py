import pytest
import torch

from iscc_lidar.trainer.pretrain.heads import HeadConfig, OccupancyDecoder, ProjectionHead, average_pool
from iscc_lidar.trainer.pretrain.samples.batch import Batch


def test_pooling_is_the_mean_over_points(batch: Batch):
    view, groups = batch.view2, len(batch.scene)
    feats = torch.randn(len(view.coords), 5, generator=torch.Generator().manual_seed(0))
    pooled = average_pool(feats, view, groups)
    for group in range(groups):
        rows = [
            feats[v]
            for v, g, p in zip(view.member_voxel, view.member_group, view.member_points, strict=True)
            if g == group
            for _ in range(int(p))
        ]
        torch.testing.assert_close(pooled[group], torch.stack(rows).mean(dim=0), rtol=1e-4, atol=1e-5)


def test_projection_gives_unit_rows():
    f = ProjectionHead(5, HeadConfig())(torch.randn(7, 5))
    assert f.shape == (7, 128)
    torch.testing.assert_close(f.norm(dim=1), torch.ones(7))


def test_the_decoder_answers_each_query_from_its_own_voxel_and_place():
    torch.manual_seed(0)
    decoder = OccupancyDecoder(5, 16)
    feats, offset = torch.randn(9, 5), torch.randn(3, 3)
    answers = decoder(feats, torch.tensor([2, 7, 4]), offset)
    assert answers.shape == (3,)
    torch.testing.assert_close(decoder(feats, torch.tensor([7]), offset[[1]]), answers[[1]])
    assert not torch.allclose(answers[[1]], decoder(feats, torch.tensor([5]), offset[[1]]))
    assert not torch.allclose(answers[[1]], decoder(feats, torch.tensor([7]), -offset[[1]]))


def test_the_head_takes_out_what_all_regions_share():
    torch.manual_seed(0)
    own = torch.randn(40, 5)
    head, without = ProjectionHead(5, HeadConfig()), ProjectionHead(5, HeadConfig(project_norm=False))
    with torch.no_grad():
        torch.testing.assert_close(head(own + 30), head(own), rtol=1e-3, atol=1e-4)
        blind = without(own + 30)
    assert float((blind @ blind.T).mean()) > 0.9


@pytest.mark.parametrize("regions", [0, 1])
def test_a_step_with_no_region_or_one_is_normalised_by_what_was_seen_before(regions: int):
    torch.manual_seed(0)
    head = ProjectionHead(5, HeadConfig())
    head(torch.randn(20, 5))
    before = {name: value.clone() for name, value in head.state_dict().items()}
    f = head(torch.randn(regions, 5, requires_grad=True))
    f.sum().backward()
    assert f.shape == (regions, 128)
    assert torch.isfinite(f).all()
    torch.testing.assert_close(dict(head.state_dict()), before, rtol=0, atol=0)
