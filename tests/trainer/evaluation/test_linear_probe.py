import torch

from iscc_lidar.trainer.evaluation.probes import LabelledVoxels, fit_linear_probe, fit_logistic


def test_logistic_regression_separates_what_is_separable():
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > x[:, 1]).long()
    assert float((fit_logistic(x, y, 2)(x).argmax(dim=1) == y).float().mean()) > 0.98


def test_scale_and_offset_of_features_do_not_matter():
    x = torch.randn(300, 3, generator=torch.Generator().manual_seed(1))
    y = 1 + x.argmax(dim=1)
    plain = fit_linear_probe(LabelledVoxels(x, y), 4).predict(x)
    moved = x * torch.tensor([1000.0, 1.0, 0.001]) + 5
    assert float((plain == y).float().mean()) > 0.95
    assert float((fit_linear_probe(LabelledVoxels(moved, y), 4).predict(moved) == plain).float().mean()) > 0.98
