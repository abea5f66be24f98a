"""Networks whose features are known."""

import pytest
import torch


class Raw(torch.nn.Module):
    """Features that are the input: what a probe scores without any network."""

    def forward(self, bxyz: torch.Tensor, feats: torch.Tensor) -> torch.Tensor:
        return feats


class Oracle(Raw):
    """Features that tell ground from the rest by the height of a voxel, and nothing else."""

    def forward(self, bxyz: torch.Tensor, feats: torch.Tensor) -> torch.Tensor:
        ground = (feats[:, 2] < -1.6 / 3).float()
        return torch.stack([ground, 1 - ground], dim=1)


@pytest.fixture
def raw() -> torch.nn.Module:
    return Raw()


@pytest.fixture
def oracle() -> torch.nn.Module:
    return Oracle()
