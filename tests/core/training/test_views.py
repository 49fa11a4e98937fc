import pytest
import torch

from segmix_core.training.views import (
    jitter_colors,
    rescale,
    second_scale,
)


def test_colors_change_a_little_and_stay_in_range():
    images = torch.rand(16, 3, 8, 8)
    changed = jitter_colors(images, generator=torch.Generator().manual_seed(0))
    again = jitter_colors(images, generator=torch.Generator().manual_seed(0))
    assert torch.equal(changed, again)
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert 0 < (changed - images).abs().max() < 0.3
    assert torch.equal(jitter_colors(images, strength=0), images)


@pytest.mark.parametrize(
    ("size", "stride", "scale"),
    [
        ((64, 64), 8, 1),
        ((96, 96), 8, 0.75),
        ((128, 128), 8, 0.5),
        ((224, 96), 8, 0.75),
        ((224, 224), 16, 0.75),
    ],
)
def test_scale_of_the_second_view_keeps_eight_cells(size, stride, scale):
    assert second_scale(*size, stride) == scale


def test_rescaled_edges_are_multiples_of_the_stride():
    images = torch.rand(1, 3, 224, 100)
    assert rescale(images, 0.5, 8).shape == (1, 3, 112, 48)
    assert rescale(images, 1, 8) is images
    assert rescale(torch.rand(1, 3, 8, 8), 0.5, 8).shape == (1, 3, 8, 8)
