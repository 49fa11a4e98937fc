import pytest

from segmix_core.curriculum.patch_sizes import (
    TILE_STEP,
    check_patch_sizes,
    default_patch_size,
    list_patch_sizes,
    nearest_sizes,
)
from segmix_core.errors import ConfigError


@pytest.mark.parametrize(
    ("height", "width", "stride", "expected"),
    [
        (64, 64, 8, (32, 16, 8)),
        (96, 96, 8, (48, 32, 24, 16, 8)),
        (128, 128, 8, (64, 32, 16)),
        (224, 224, 8, (112, 56, 32, 16)),
        (256, 256, 8, (128, 64, 32, 16)),
        (384, 384, 8, (192, 128, 96, 64, 48, 32, 24, 16)),
        (256, 256, 16, (128, 64, 32, 16)),
        (256, 384, 8, (128, 64, 32, 16)),
        (72, 72, 8, (24, 8)),
        (224, 224, 14, (112, 56, 28)),
        (112, 112, 14, (56, 28, 14)),
    ],
)
def test_sizes_of_a_tile(height, width, stride, expected):
    assert list_patch_sizes(height, width, stride=stride) == expected


def test_a_tile_that_no_patch_divides():
    with pytest.raises(ConfigError, match="such as 48 or 64 pixels"):
        list_patch_sizes(50, 50)
    with pytest.raises(ConfigError, match="such as 224 or 336 pixels"):
        list_patch_sizes(256, 256, stride=14)


@pytest.mark.parametrize("stride", [8, 14, 16])
@pytest.mark.parametrize("edge", [16, 50, 100, 256])
def test_sizes_that_are_named_instead_can_be_cut(edge, stride):
    named = [int(word) for word in nearest_sizes(edge, stride).split(" or ")]
    assert all(list_patch_sizes(size, size, stride=stride) for size in named)
    assert all(size % TILE_STEP == 0 for size in named)
    assert named[-1] > edge


def test_own_sizes_are_sorted_and_checked():
    assert check_patch_sizes([16, 56, 16], 224, 224) == (56, 16)
    with pytest.raises(ConfigError, match=r"48\. Choose from 8, 16, 32"):
        check_patch_sizes([48, 32], 64, 64)
    with pytest.raises(ConfigError, match="none"):
        check_patch_sizes([], 64, 64)
    with pytest.raises(ConfigError, match="another tile size"):
        check_patch_sizes([8], 8, 8)


@pytest.mark.parametrize(("tile_px", "expected"), [(64, 16), (128, 32), (224, 32)])
def test_default_size(tile_px, expected):
    assert default_patch_size(list_patch_sizes(tile_px, tile_px), tile_px) == expected
