import pytest
import torch

from segmix_core.training.views import (
    draw_turns,
    jitter_colors,
    rescale,
    second_scale,
    turn,
    turn_back,
)

ALL = torch.tensor([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)]).bool()


def test_eight_symmetries_that_can_be_undone():
    image = torch.arange(9.0).view(1, 1, 3, 3)
    turned = turn(image.expand(8, 1, 3, 3), ALL)
    assert len({tuple(one.flatten().tolist()) for one in turned}) == 8
    assert torch.equal(turn_back(turned, ALL), image.expand(8, 1, 3, 3))


def test_rectangles_are_never_transposed():
    turns = draw_turns(200, square=False, generator=torch.Generator().manual_seed(0))
    assert not turns[:, 0].any()
    assert 0.4 < turns[:, 1:].float().mean() < 0.6
    images = torch.rand(200, 1, 2, 3)
    assert torch.equal(turn_back(turn(images, turns), turns), images)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_turns_keep_the_layout_of_memory(layout):
    images = torch.rand(8, 3, 4, 4).contiguous(memory_format=layout)
    turned = turn(images, ALL)
    for image, result, (transposed, upside_down, sideways) in zip(
        images.numpy(), turned.numpy(), ALL.tolist(), strict=True
    ):
        expected = image.swapaxes(1, 2) if transposed else image
        expected = expected[:, ::-1] if upside_down else expected
        expected = expected[:, :, ::-1] if sideways else expected
        assert (result == expected).all()
    back = turn_back(turned, ALL)
    assert torch.equal(back, images)
    assert turned.is_contiguous(memory_format=layout)
    assert back.is_contiguous(memory_format=layout)


def test_gradients_are_turned_back():
    images = torch.rand(8, 2, 4, 4, requires_grad=True)
    weights = torch.rand(8, 2, 4, 4)
    (turn(images, ALL) * weights).sum().backward()
    torch.testing.assert_close(images.grad, turn_back(weights, ALL))


def test_maps_follow_their_images():
    turns = ALL
    images = torch.rand(8, 1, 8, 8)
    maps = torch.nn.functional.avg_pool2d(turn(images, turns), 2)
    expected = torch.nn.functional.avg_pool2d(images, 2)
    torch.testing.assert_close(turn_back(maps, turns), expected)


def test_colours_change_a_little_and_stay_in_range():
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
