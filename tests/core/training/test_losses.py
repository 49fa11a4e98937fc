import math

import pytest
import torch
from torch.nn import functional as F

from segmix_core.models.cam import make_seed
from segmix_core.training.losses import (
    classification_loss,
    cross_regularization_loss,
    equivariance_loss,
    label_entropy,
    label_spread,
    match_size,
)


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_classification_equals_torch_where_all_is_known():
    logits = random(5, 3)
    labels = (random(5, 3, seed=1) > 0).float()
    expected = F.multilabel_soft_margin_loss(logits, labels)
    torch.testing.assert_close(classification_loss(logits, labels), expected)


def test_unknown_labels_add_no_loss_and_no_gradient():
    logits = random(4, 2).requires_grad_()
    labels = torch.tensor([[1.0, -1], [0, -1], [-1, -1], [0.25, 1]])
    loss = classification_loss(logits, labels)
    loss.backward()
    known = labels >= 0
    assert logits.grad is not None
    assert torch.equal(logits.grad != 0, known)
    expected = F.binary_cross_entropy_with_logits(logits[known], labels[known])
    torch.testing.assert_close(loss, expected)
    nothing = classification_loss(logits, torch.full((4, 2), -1.0))
    assert nothing.item() == 0


def test_soft_labels_are_best_answered_by_themselves():
    labels = torch.tensor([[0.25, 0.5], [1.0, 0.0], [0.75, -1.0]])
    best = classification_loss(torch.logit(labels.clamp(1e-6, 1 - 1e-6)), labels)
    torch.testing.assert_close(best, label_entropy(labels), atol=1e-4, rtol=0)
    worse = classification_loss(random(3, 2), labels)
    assert worse > best


@pytest.mark.parametrize(("label", "entropy"), [(0, 0), (1, 0), (0.5, math.log(2))])
def test_entropy_of_a_label(label, entropy):
    assert label_entropy(torch.full((2, 3), float(label))).item() == pytest.approx(
        entropy
    )


def test_spread_is_the_loss_of_answering_the_frequencies():
    labels = torch.tensor([[1.0, 0.25, -1], [0.0, 0.5, 1.0], [1.0, 0.75, 0.5]])
    frequency = torch.tensor([0.7, 0.4, 0.75])
    constant = classification_loss(torch.logit(frequency).expand(3, 3), labels)
    expected = constant - label_entropy(labels)
    torch.testing.assert_close(label_spread(labels, frequency), expected)
    same = label_spread(torch.full((4, 2), 0.5), torch.full((2,), 0.5))
    assert same.item() == pytest.approx(0, abs=1e-6)
    assert label_spread(torch.full((4, 3), -1.0), frequency).item() == 0


def test_mixing_makes_labels_alike():
    labels = torch.eye(2)
    spreads = [
        label_spread(
            labels * (1 - share) + labels.flip(0) * share, torch.full((2,), 0.5)
        ).item()
        for share in (0, 0.1, 0.25, 0.5)
    ]
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[0] == pytest.approx(math.log(2))


def test_equivariance_is_the_difference_of_probabilities():
    first, second = random(2, 2, 4, 4), random(2, 2, 4, 4, seed=1)
    possible = torch.tensor([[1, 0], [1, 1]])
    expected = (first.sigmoid() - second.sigmoid()).abs()
    expected[0, 1] = 0
    loss = equivariance_loss(first, second, possible)
    torch.testing.assert_close(loss, expected.mean())
    assert equivariance_loss(first, first, possible).item() == 0


def test_maps_of_two_sizes_meet_on_the_smaller_grid():
    large, small = random(1, 2, 8, 12), random(1, 2, 4, 6)
    for pair in ((large, small), (small, large)):
        first, second = match_size(*pair)
        assert first.shape == second.shape == small.shape
    assert equivariance_loss(
        torch.ones(1, 1, 8, 8), torch.ones(1, 1, 4, 4), torch.ones(1, 1)
    ) == pytest.approx(0, abs=1e-6)


def test_cross_regularization_is_the_mean_of_the_largest_fifth():
    refined, other = random(2, 2, 5, 5).relu(), random(2, 2, 5, 5, seed=1)
    present = torch.tensor([[1.0, 1], [0, 1]])
    loss = cross_regularization_loss(refined, other, present)
    target = make_seed(other, present)
    masked = refined * present[:, :, None, None]
    maps = masked / (masked.amax((1, 2, 3), keepdim=True) + 1e-5)
    differences = sorted((maps - target).abs().flatten().tolist())
    hardest = differences[-int(0.2 * len(differences)) :]
    assert loss.item() == pytest.approx(sum(hardest) / len(hardest), abs=1e-3)


def test_cross_regularization_trains_the_refined_map_alone():
    refined = random(1, 2, 4, 4).relu().requires_grad_()
    other = random(1, 2, 4, 4, seed=1).requires_grad_()
    cross_regularization_loss(refined, other, torch.ones(1, 2)).backward()
    assert other.grad is None
    assert refined.grad is not None
    nothing = cross_regularization_loss(refined, other, torch.zeros(1, 2))
    assert nothing.item() == 0
