import numpy as np
import pytest
import torch

from segmix_core.data.symmetries import (
    IDENTITY,
    draw_symmetries,
    symmetries_of,
    turn,
    turn_array,
    turn_back,
    turn_each,
    turn_each_back,
)

ALL = np.arange(8)


def test_there_are_eight_symmetries_of_the_square() -> None:
    square = np.arange(9).reshape(3, 3)
    views = {turn_array(square, code).tobytes() for code in ALL}
    assert len(views) == 8
    assert np.array_equal(turn_array(square, IDENTITY), square)
    # A symmetry keeps neighbors: the center stays, the corners are corners.
    for code in ALL:
        turned = turn_array(square, code)
        assert turned[1, 1] == 4
        assert {int(turned[y, x]) for y in (0, 2) for x in (0, 2)} == {0, 2, 6, 8}


def test_arrays_and_tensors_turn_alike() -> None:
    image = np.random.default_rng(0).integers(0, 255, (4, 6, 3), np.uint8)
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    for code in ALL.tolist():
        turned = turn_array(image, code)
        assert np.array_equal(turned[..., 0], turn_array(image[..., 0], code))
        assert turned.shape[:2] == ((6, 4) if code >= 4 else (4, 6))
        found = turn(tensor, code)
        assert np.array_equal(found.permute(1, 2, 0).numpy(), turned)
        assert torch.equal(turn_back(found, code), tensor)


@pytest.mark.parametrize("code", [-1, 8])
def test_there_are_no_others(code: int) -> None:
    for act in (turn_array, turn, turn_back):
        values = np.zeros((2, 2)) if act is turn_array else torch.zeros(2, 2)
        with pytest.raises(ValueError, match=f"0..7, got {code}"):
            act(values, code)


def test_without_flips_there_is_one() -> None:
    assert symmetries_of(flips=False) == (IDENTITY,)
    assert symmetries_of(flips=True) == tuple(ALL)


def test_draws_follow_the_generator() -> None:
    draws = [draw_symmetries(200, torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])
    assert np.bincount(draws[0], minlength=8).min() > 10


def test_rectangles_are_never_transposed() -> None:
    generator = torch.Generator().manual_seed(0)
    codes = draw_symmetries(200, generator, square=False)
    assert np.bincount(codes, minlength=4).min() > 30
    assert codes.max() < 4
    images = torch.rand(200, 1, 2, 3)
    assert torch.equal(turn_each_back(turn_each(images, codes), codes), images)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_tiles_keep_the_layout_of_memory(layout: torch.memory_format) -> None:
    images = torch.rand(8, 3, 4, 4).contiguous(memory_format=layout)
    turned = turn_each(images, ALL)
    for image, result, code in zip(images, turned, ALL.tolist(), strict=True):
        assert torch.equal(result, turn(image, code))
    back = turn_each_back(turned, ALL)
    assert torch.equal(back, images)
    assert turned.is_contiguous(memory_format=layout)
    assert back.is_contiguous(memory_format=layout)


def test_gradients_are_turned_back() -> None:
    images = torch.rand(8, 2, 4, 4, requires_grad=True)
    weights = torch.rand(8, 2, 4, 4)
    (turn_each(images, ALL) * weights).sum().backward()
    torch.testing.assert_close(images.grad, turn_each_back(weights, ALL))


def test_maps_follow_their_images() -> None:
    images = torch.rand(8, 1, 8, 8)
    maps = torch.nn.functional.avg_pool2d(turn_each(images, ALL), 2)
    expected = torch.nn.functional.avg_pool2d(images, 2)
    torch.testing.assert_close(turn_each_back(maps, ALL), expected)
