import pytest
import torch

from segmix_core.training.puzzle import (
    cut_quarters,
    merge_quarters,
    reconstruction_loss,
)
from tests.reference import puzzle as reference


def test_merging_undoes_cutting():
    images = torch.rand(3, 2, 6, 4)
    quarters = cut_quarters(images)
    assert quarters.shape == (12, 2, 3, 2)
    torch.testing.assert_close(quarters[3:6], images[:, :, :3, 2:])
    torch.testing.assert_close(merge_quarters(quarters), images)


def test_odd_edges_are_refused():
    with pytest.raises(ValueError, match="must be even, not 6 x 5"):
        cut_quarters(torch.zeros(1, 3, 6, 5))


def test_the_loss_equals_its_slow_twin_and_both_maps_learn():
    whole, merged = (torch.randn(3, 2, 4, 4, requires_grad=True) for _ in range(2))
    labels = torch.tensor([[1.0, 0.0], [1.0, 1.0], [-1.0, 1.0]])
    loss = reconstruction_loss(whole, merged, labels > 0)
    expected = reference.reconstruction_loss(
        whole.detach().numpy(), merged.detach().numpy(), labels.numpy()
    )
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert whole.grad.abs().sum() > 0
    assert merged.grad.abs().sum() > 0
