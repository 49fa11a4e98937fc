import numpy as np
import pytest
import torch

from segmix_core.curriculum.level import ShuffleLevel
from segmix_core.curriculum.shuffle import shuffle_batch
from segmix_core.training.loss_weights import ramp
from segmix_core.training.shuffle_losses import (
    cells_off_seams,
    known_label_loss,
    unshuffle_loss,
)
from tests.reference import shuffle_losses as reference

LABELS = torch.tensor(
    [
        [1.0, 0.0, 0.0],
        [0.0, 1.0, 0.0],
        [1.0, 1.0, 0.0],
        [1.0, 0.0, 0.0],
        [1.0, -1.0, 0.0],
        [0.0, 0.0, 0.0],
    ]
)


def sources_of(patch_size, ratio=0.5, seed=0):
    """Sources of six tiles of 64 x 48 pixels; their maps are 8 x 6."""
    images = torch.zeros(6, 1, 64, 48)
    generator = torch.Generator().manual_seed(seed)
    level = ShuffleLevel(patch_size, ratio)
    return shuffle_batch(images, LABELS, level, generator=generator).sources


def maps(seed):
    return 3 * torch.randn(6, 3, 8, 6, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("patch_size", "ratio"), [(16, 0.3), (16, 0.75), (8, 0.1)])
def test_losses_equal_the_slow_twins(patch_size, ratio):
    sources = sources_of(patch_size, ratio)
    shuffled, original = maps(1), maps(2)
    arrays = [t.double().numpy() for t in (shuffled, original)]
    consistency = unshuffle_loss(shuffled, original, sources, LABELS)
    expected = reference.unshuffle_loss(*arrays, sources.numpy(), LABELS.numpy())
    assert consistency.item() == pytest.approx(expected, rel=1e-5)
    pixels = known_label_loss(shuffled, sources, LABELS)
    expected = reference.known_label_loss(arrays[0], sources.numpy(), LABELS.numpy())
    assert pixels.item() == pytest.approx(expected, rel=1e-5)
    assert consistency > 0
    assert pixels > 0


@pytest.mark.parametrize("patch_size", [16, 8])
def test_cells_beside_seams_take_no_part(patch_size):
    sources = sources_of(patch_size)
    tiles, inside = cells_off_seams(sources, (8, 6))
    expected = np.zeros((6, 8, 6), bool)
    for tile, y, x, source in reference.cells(sources.numpy(), 8, 6):
        expected[tile, y, x] = True
        assert tiles[tile, y, x] == source
    np.testing.assert_array_equal(inside.numpy(), expected)
    assert 0 < inside.sum() < inside.numel()


def test_without_seams_every_cell_takes_part():
    own = torch.arange(6).view(6, 1, 1).repeat(1, 4, 3)
    assert cells_off_seams(own, (8, 6))[1].all()
    original = maps(3)
    assert unshuffle_loss(original, original, own, LABELS) == 0


def test_only_the_shuffled_maps_learn_from_their_sources():
    shuffled, original = maps(1).requires_grad_(), maps(2).requires_grad_()
    unshuffle_loss(shuffled, original, sources_of(16), LABELS).backward()
    assert original.grad is None
    assert shuffled.grad.abs().sum() > 0


def test_classes_weigh_the_same_however_many_cells_they_have():
    labels = torch.tensor([[1.0, 0.0]] * 9 + [[0.0, 1.0]])
    own = torch.arange(10).view(10, 1, 1)
    scores = torch.zeros(10, 2, 4, 4)
    scores[:, 0] = 2.0  # everything is called the frequent class
    frequent, rare = np.log1p(np.exp(-2)), np.log1p(np.exp(2))
    found = known_label_loss(scores, own, labels).item()
    assert found == pytest.approx((frequent + rare) / 2, rel=1e-5)


def test_tiles_of_several_or_unknown_labels_say_nothing():
    labels = LABELS[[2, 4, 5]]
    own = torch.arange(3).view(3, 1, 1)
    loss = known_label_loss(maps(1)[:3].requires_grad_(), own, labels)
    assert loss == 0
    loss.backward()
    nobody = torch.zeros_like(labels)
    assert unshuffle_loss(maps(1)[:3], maps(2)[:3], own, nobody) == 0


def test_a_seam_through_a_cell_is_refused():
    with pytest.raises(ValueError, match="4 x 3 patches divide, got 6 x 6"):
        unshuffle_loss(torch.zeros(6, 3, 6, 6), maps(1), sources_of(16), LABELS)


def test_the_ramp():
    assert [ramp(step, 10, 20) for step in (0, 10, 15, 20, 99)] == [0, 0, 0.5, 1, 1]
    assert ramp(0, 0, 0) == 1
    # A run of one step is warm-up and nothing else.
    assert ramp(0, 1, 1) == 0
