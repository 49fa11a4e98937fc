from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segmix_core.settings import SegmenterSettings
from segmix_core.training import noisy_labels
from segmix_core.training.noisy_labels import (
    LOSSES,
    PixelLoss,
    easy_pixel_weights,
    generalized_cross_entropy,
    symmetric_cross_entropy,
)
from segmix_core.training.pixel_losses import NO_CHANNEL, channel_targets
from tests.reference import noisy_labels as reference

ROBUST = [name for name in LOSSES if name != "ce"]


def draw(seed, channels):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, channels, 3, 4, generator=generator) * 3
    values = torch.tensor([0, 1, 2, 3, 255], dtype=torch.uint8)
    masks = values[torch.randint(0, 5, (2, 3, 4), generator=generator)]
    weights = torch.randint(0, 5, (2, 3, 4), generator=generator).float()
    corrected = torch.rand((2, 3, 4), generator=generator) < 0.3
    return logits, masks, weights, corrected


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([(0, 1, 2), (1, 2), (1, 2, 3), (3,)]),
    st.sampled_from(
        [*((name, 0.0) for name in LOSSES), ("ce", 0.1), ("ce", 0.5), ("oeem", 0.3)]
    ),
)
def test_every_loss_equals_its_slow_twin(seed, indices, choice):
    logits, masks, weights, corrected = draw(seed, len(indices))
    class_weights = [0.5, 2.0, 1.5][: len(indices)]
    targets = channel_targets(masks, indices)
    found = PixelLoss(*choice)(
        logits, targets, weights, corrected, torch.tensor(class_weights)
    )
    wanted = reference.pixel_loss(
        *choice,
        *(part.numpy() for part in (logits.double(), masks, weights, corrected)),
        list(indices),
        class_weights,
    )
    assert float(found) == pytest.approx(wanted, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_is_torch_s_own(smoothing):
    logits, masks, _, _ = draw(5, 3)
    targets = channel_targets(masks, (0, 1, 2))
    found = PixelLoss("ce", smoothing)(logits, targets, torch.ones(2, 3, 4))
    wanted = torch.nn.functional.cross_entropy(
        logits, targets, ignore_index=NO_CHANNEL, label_smoothing=smoothing
    )
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("name", ROBUST)
def test_corrected_pixels_have_plain_cross_entropy(name):
    logits, masks, weights, _ = draw(3, 3)
    targets = channel_targets(masks, (0, 1, 2))
    everything = torch.ones(2, 3, 4, dtype=torch.bool)
    plain = PixelLoss()(logits, targets, weights)
    drawn = PixelLoss(name)(logits, targets, weights, everything)
    torch.testing.assert_close(drawn, plain)
    assert float(PixelLoss(name)(logits, targets, weights)) != pytest.approx(
        float(plain), rel=1e-3
    )


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_trains_and_bears_extreme_logits(name):
    logits = torch.zeros(1, 3, 4, 4, requires_grad=True)
    targets = torch.arange(16).reshape(1, 4, 4) % 3
    weights = torch.ones(1, 4, 4)
    optimizer = torch.optim.SGD([logits], lr=50.0)
    for _ in range(20):
        optimizer.zero_grad()
        PixelLoss(name)(logits, targets, weights).backward()
        optimizer.step()
    assert torch.equal(logits.argmax(1), targets)
    extreme = torch.tensor([1e4, -1e4, 0.0]).view(1, 3, 1, 1).repeat(1, 1, 4, 4)
    extreme.requires_grad_()
    loss = PixelLoss(name)(extreme, targets, weights)
    loss.backward()
    assert torch.isfinite(loss)
    assert extreme.grad is not None
    assert torch.isfinite(extreme.grad).all()


@pytest.mark.parametrize("name", ROBUST)
def test_a_pseudo_pixel_against_the_network_pulls_less_than_in_cross_entropy(name):
    targets = torch.tensor([[[0, 1, 1, 1]]])
    pulls = {}
    for loss in ("ce", name):
        logits = torch.tensor([[-3.0] * 4, [3.0] * 4]).view(1, 2, 1, 4)
        logits.requires_grad_()
        PixelLoss(loss)(logits, targets, torch.ones(1, 1, 4)).backward()
        assert logits.grad is not None
        pulls[loss] = float(logits.grad[0, 0, 0, 0].abs())
    assert pulls[name] < pulls["ce"]


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_counts_where_everything_is_ignored(name):
    logits = torch.randn(1, 2, 3, 3, requires_grad=True)
    targets = torch.full((1, 3, 3), NO_CHANNEL)
    loss = PixelLoss(name)(logits, targets, torch.ones(1, 3, 3))
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def test_easy_pixels_are_preferred_in_images_of_several_classes():
    losses = torch.tensor([[[0.1, 0.2, 3.0, 9.0]], [[0.1, 0.2, 3.0, 9.0]]])
    losses.requires_grad_()
    targets = torch.tensor([[[0, 1, 0, NO_CHANNEL]], [[1, 1, 1, NO_CHANNEL]]])
    mixed, single = easy_pixel_weights(losses, targets, targets != NO_CHANNEL)
    powers = np.exp([-0.1, -0.2, -3.0])
    np.testing.assert_allclose(mixed[0, :3], powers / powers.mean(), rtol=1e-5)
    assert float(mixed[0, 3]) == 1
    assert (single == 1).all()
    assert not mixed.requires_grad


def test_easy_weights_are_cut_and_leave_corrected_pixels_out():
    losses = torch.full((1, 1, 40), 60.0)
    losses[0, 0, 0] = 0
    losses[0, 0, -1] = 200
    targets = torch.tensor([0] * 20 + [1] * 20).view(1, 1, 40)
    pseudo = torch.ones(1, 1, 40, dtype=torch.bool)
    pseudo[..., -1] = False
    (found,) = easy_pixel_weights(losses, targets, pseudo)[0]
    assert float(found[0]) == 10
    assert (found[1:-1] < 1e-6).all()
    assert float(found[-1]) == 1


def test_an_image_of_corrections_alone_keeps_weights_of_one():
    targets = torch.tensor([[[0, 1]]])
    nothing = torch.zeros(1, 1, 2, dtype=torch.bool)
    assert (easy_pixel_weights(torch.ones(1, 1, 2), targets, nothing) == 1).all()


def test_an_image_is_mixed_as_soon_as_somebody_drew_a_second_class():
    losses = torch.tensor([[[0.0, 2.0, 1.0]]])
    pseudo = torch.tensor([[[True, True, False]]])
    drawn = easy_pixel_weights(losses, torch.tensor([[[0, 0, 1]]]), pseudo)
    assert float(drawn[0, 0, 0]) > 1 > float(drawn[0, 0, 1])


def test_smoothing_spares_what_a_person_drew():
    logits, masks, weights, corrected = draw(7, 3)
    targets = channel_targets(masks, (0, 1, 2))
    drawn = weights * corrected
    plain, smooth = (
        PixelLoss("ce", share)(logits, targets, drawn, corrected)
        for share in (0.0, 0.2)
    )
    assert float(plain) == float(smooth) > 0


def test_limits_of_the_generalized_and_the_symmetric_loss():
    logits, masks, _, _ = draw(1, 3)
    targets = channel_targets(masks, (0, 1, 2)).clamp(min=0)
    plain = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    wrong = 1 - torch.exp(-plain)
    torch.testing.assert_close(generalized_cross_entropy(logits, targets, 1.0), wrong)
    near = generalized_cross_entropy(logits.double(), targets, 1e-6)
    torch.testing.assert_close(near.float(), plain, rtol=1e-3, atol=1e-4)
    found = symmetric_cross_entropy(logits, targets, 2.0, 0.5, -6.0)
    torch.testing.assert_close(found, 2 * plain + 3 * wrong)


def test_the_settings_offer_every_loss():
    kind = SegmenterSettings.model_fields["loss"].annotation
    assert get_args(kind) == tuple(noisy_labels.LOSSES)


@pytest.mark.parametrize(
    ("name", "smoothing", "message"),
    [
        ("focal", 0.0, "'focal' is not one of ce, oeem, gce, sce, bootstrapped"),
        ("ce", 0.6, r"smoothing must be in 0\.\.0\.5, not 0\.6"),
        ("ce", -0.1, r"smoothing must be in 0\.\.0\.5, not -0\.1"),
        ("gce", 0.1, r"must be 0 with gce, not 0\.1"),
    ],
)
def test_losses_that_are_not_there(name, smoothing, message):
    with pytest.raises(ValueError, match=message):
        PixelLoss(name, smoothing)
