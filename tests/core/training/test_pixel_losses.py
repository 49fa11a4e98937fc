import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segmix_core.training.pixel_losses import (
    NO_CHANNEL,
    channel_targets,
    inverse_root_weights,
    pixel_accuracy,
    pixel_mean,
    soft_dice_loss,
)
from tests.reference import pixel_losses as reference


def draw(seed: int, channels: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, channels, 3, 4, generator=generator) * 3
    values = torch.tensor([0, 1, 2, 3, 255], dtype=torch.uint8)
    masks = values[torch.randint(0, 5, (2, 3, 4), generator=generator)]
    weights = torch.randint(0, 5, (2, 3, 4), generator=generator).float()
    return logits, masks, weights


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([(0, 1, 2), (1, 2), (1, 2, 3), (3,)]))
def test_terms_equal_their_slow_twins(seed: int, indices: tuple[int, ...]) -> None:
    logits, masks, weights = draw(seed, len(indices))
    targets = channel_targets(masks, indices)
    class_weights = [0.5, 2.0, 1.5][: len(indices)]
    losses = torch.nn.functional.cross_entropy(
        logits, targets, reduction="none", ignore_index=NO_CHANNEL
    )
    arrays = logits.double().numpy(), masks.numpy(), weights.numpy(), list(indices)
    ours = {
        "ce": pixel_mean(losses, targets, weights, torch.tensor(class_weights)),
        "plain": pixel_mean(losses, targets, weights),
        "dice": soft_dice_loss(logits, targets, weights),
        "accuracy": pixel_accuracy(logits, targets, weights),
    }
    theirs = {
        "ce": reference.cross_entropy(*arrays, class_weights),
        "plain": reference.cross_entropy(*arrays, [1.0] * len(indices)),
        "dice": reference.dice_loss(*arrays),
        "accuracy": reference.accuracy(*arrays),
    }
    for name, value in ours.items():
        assert float(value) == pytest.approx(theirs[name], abs=1e-4), name


def test_nothing_counts_where_everything_is_ignored() -> None:
    logits = torch.randn(1, 2, 3, 3, requires_grad=True)
    targets = torch.full((1, 3, 3), NO_CHANNEL)
    weights = torch.ones(1, 3, 3)
    loss = pixel_mean(logits[:, 0], targets, weights)
    loss = loss + soft_dice_loss(logits, targets, weights)
    loss.backward()
    assert float(loss.detach()) == 0
    assert float(pixel_accuracy(logits.detach(), targets, weights)) == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def test_perfect_and_wrong_predictions() -> None:
    targets = torch.tensor([[[0, 1], [1, 0]]])
    perfect = 50 * torch.nn.functional.one_hot(targets, 2).movedim(-1, 1).float()
    weights = torch.ones(1, 2, 2)
    assert float(soft_dice_loss(perfect, targets, weights)) == pytest.approx(0)
    assert float(soft_dice_loss(-perfect, targets, weights)) == pytest.approx(1)
    assert float(pixel_accuracy(perfect, targets, weights)) == 1


def test_rare_classes_weigh_more_by_the_root() -> None:
    counts = np.array([900, 100, 0])
    weights = inverse_root_weights(counts)
    assert weights[1] / weights[0] == pytest.approx(3)
    assert weights[2] / weights[0] == pytest.approx(5)
    assert (weights * counts).sum() / counts.sum() == pytest.approx(1)
    assert weights.dtype == np.float32


def test_no_pixels_no_preference() -> None:
    assert inverse_root_weights(np.zeros(3, np.int64)).tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="Counts must be >= 0"):
        inverse_root_weights(np.array([-1, 2]))
