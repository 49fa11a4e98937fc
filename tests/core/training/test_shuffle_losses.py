import numpy as np
import pytest
import torch

from segmix_core.curriculum.level import PAIRS, ShuffleLevel, ShuffleScope
from segmix_core.curriculum.origins import Origins
from segmix_core.curriculum.shuffle import shuffle_batch
from segmix_core.training.loss_weights import ramp
from segmix_core.training.shuffle_losses import (
    cells_off_seams,
    known_label_loss,
    put_back,
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


SCOPES = {
    "pairs": PAIRS,
    "anywhere in three tiles": ShuffleScope(3, in_place=False),
    "own tile": ShuffleScope(1, in_place=False),
}


def origins_of(patch_size, ratio=0.5, scope=PAIRS, seed=0):
    """Origins in six tiles of 64 x 48 pixels; their maps are 8 x 6."""
    images = torch.zeros(6, 1, 64, 48)
    generator = torch.Generator().manual_seed(seed)
    level = ShuffleLevel(patch_size, ratio)
    return shuffle_batch(images, LABELS, level, scope, generator=generator).origins


def untouched(count, rows=1, cols=1):
    places = torch.arange(rows * cols).view(1, rows, cols).repeat(count, 1, 1)
    return Origins(torch.arange(count).view(-1, 1, 1).repeat(1, rows, cols), places)


def everywhere(scores):
    return torch.ones(len(scores), *scores.shape[2:], dtype=torch.bool)


def maps(seed):
    return 3 * torch.randn(6, 3, 8, 6, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("scope", SCOPES.values(), ids=SCOPES)
@pytest.mark.parametrize(("patch_size", "ratio"), [(16, 0.3), (16, 0.75), (8, 0.1)])
def test_losses_equal_the_slow_twins(patch_size, ratio, scope):
    origins = origins_of(patch_size, ratio, scope)
    shuffled, original = maps(1), maps(2)
    restored, is_inside = put_back(shuffled, origins)
    arrays = [t.double().numpy() for t in (shuffled, original)]
    places = [part.numpy() for part in origins]
    consistency = unshuffle_loss(restored, original, is_inside, LABELS)
    expected = reference.unshuffle_loss(*arrays, *places, LABELS.numpy())
    assert consistency.item() == pytest.approx(expected, rel=1e-5)
    pixels = known_label_loss(restored, is_inside, LABELS)
    expected = reference.known_label_loss(arrays[0], *places, LABELS.numpy())
    assert pixels.item() == pytest.approx(expected, rel=1e-5)
    assert consistency > 0
    assert pixels > 0


@pytest.mark.parametrize("scope", SCOPES.values(), ids=SCOPES)
@pytest.mark.parametrize("patch_size", [16, 8])
def test_cells_beside_seams_take_no_part(patch_size, scope):
    origins = origins_of(patch_size, 0.3, scope)
    expected = np.zeros((6, 8, 6), bool)
    back = np.zeros((6, 8, 6), bool)
    for place, before in reference.cells(*(part.numpy() for part in origins), 8, 6):
        expected[place] = True
        back[before] = True
    inside = cells_off_seams(origins, (8, 6))
    np.testing.assert_array_equal(inside.numpy(), expected)
    assert 0 < inside.sum() < inside.numel()
    np.testing.assert_array_equal(put_back(maps(1), origins)[1].numpy(), back)


def test_patches_that_moved_together_have_no_seam_between_them():
    # The two left columns of patches change places with the two right ones.
    own = untouched(1, 2, 4)
    moved = Origins(own.sources, own.positions.roll(2, dims=2))
    inside = cells_off_seams(moved, (4, 8))[0]
    assert inside.all(dim=0).tolist() == [True] * 3 + [False] * 2 + [True] * 3
    # Neighbours by number, but not in the tile: the end of a row and the next one.
    wrapped = Origins(own.sources[:, :, :2], torch.tensor([[[1, 2], [3, 0]]]))
    expected = [[1, 0, 0, 1], [1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 1]]
    assert cells_off_seams(wrapped, (4, 4))[0].int().tolist() == expected


def test_without_seams_every_cell_takes_part():
    own = untouched(6, 4, 3)
    original = maps(3)
    restored, is_inside = put_back(original, own)
    assert is_inside.all()
    assert torch.equal(restored, original)
    assert unshuffle_loss(restored, original, is_inside, LABELS) == 0


def test_only_the_shuffled_maps_learn_from_their_sources():
    shuffled, original = maps(1).requires_grad_(), maps(2).requires_grad_()
    restored, is_inside = put_back(shuffled, origins_of(16))
    unshuffle_loss(restored, original, is_inside, LABELS).backward()
    assert original.grad is None
    assert shuffled.grad.abs().sum() > 0


def test_classes_weigh_the_same_however_many_cells_they_have():
    labels = torch.tensor([[1.0, 0.0]] * 9 + [[0.0, 1.0]])
    scores = torch.zeros(10, 2, 4, 4)
    scores[:, 0] = 2.0  # everything is called the frequent class
    frequent, rare = np.log1p(np.exp(-2)), np.log1p(np.exp(2))
    found = known_label_loss(scores, everywhere(scores), labels).item()
    assert found == pytest.approx((frequent + rare) / 2, rel=1e-5)


def test_tiles_of_several_or_unknown_labels_say_nothing():
    labels = LABELS[[2, 4, 5]]
    scores = maps(1)[:3].requires_grad_()
    loss = known_label_loss(scores, everywhere(scores), labels)
    assert loss == 0
    loss.backward()
    nobody = torch.zeros_like(labels)
    assert unshuffle_loss(scores, maps(2)[:3], everywhere(scores), nobody) == 0


def test_a_seam_through_a_cell_is_refused():
    with pytest.raises(ValueError, match="4 x 3 patches divide, got 6 x 6"):
        put_back(torch.zeros(6, 3, 6, 6), origins_of(16))


def test_the_ramp():
    assert [ramp(step, 10, 20) for step in (0, 10, 15, 20, 99)] == [0, 0, 0.5, 1, 1]
    assert ramp(0, 0, 0) == 1
    # A run of one step is warm-up and nothing else.
    assert ramp(0, 1, 1) == 0
