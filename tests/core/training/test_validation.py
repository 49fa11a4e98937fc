from types import SimpleNamespace

import pytest
import torch
from torch import nn

from segmix_core.data.batch import Batch
from segmix_core.training.losses import classification_loss
from segmix_core.training.validation import tile_validation


class Brightness(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([2.0, -1.0]))

    def forward(self, images):
        return SimpleNamespace(logits=images.mean((1, 2, 3))[:, None] * self.scale)


class Tiles:
    """Batches of unequal size with labels that are not all known."""

    steps_per_epoch = 3

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.images = torch.rand(7, 3, 4, 4, generator=generator)
        self.labels = torch.randint(-1, 2, (7, 2), generator=generator).float()
        self.read = 0

    def batches(self, epoch, first=0):
        for start, stop in ((0, 3), (3, 6), (6, 7)):
            self.read += 1
            images, labels = self.images[start:stop], self.labels[start:stop]
            sizes = torch.full((stop - start, 2), 4)
            yield Batch(images, labels, torch.arange(start, stop), sizes)


def test_the_loss_is_that_of_all_tiles_at_once():
    tiles, module = Tiles(), Brightness()
    validate = tile_validation(tiles, lambda: False)
    expected = classification_loss(module(tiles.images).logits, tiles.labels)
    for _ in range(2):
        measured = validate(module)
        assert measured == {"loss": pytest.approx(expected.item(), rel=1e-6)}
    assert module.scale.grad is None


def test_a_stop_ends_it_within_a_batch():
    tiles = Tiles()
    assert tile_validation(tiles, lambda: True)(Brightness()) == {}
    assert tiles.read == 1


def test_tiles_that_do_not_fit_are_asked_in_halves():
    class Small(Brightness):
        def forward(self, images):
            if len(images) > 1:
                raise torch.OutOfMemoryError("out of memory")
            return super().forward(images)

    model, tiles = Small(), Tiles()
    scores = tile_validation(tiles, lambda: False)(model)
    assert scores == tile_validation(tiles, lambda: False)(Brightness())
