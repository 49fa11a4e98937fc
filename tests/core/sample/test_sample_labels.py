import numpy as np
import pytest

from segmix_core.sample import tile_labels


@pytest.fixture
def mask():
    mask = np.zeros((100, 200), np.uint8)
    mask[:, :50] = 1
    mask[:, 100:110] = 2
    mask[:, 110:115] = 3
    mask[0, 115] = 255
    return mask


def test_shares_become_present_absent_unknown(mask):
    boxes = np.array([[0, 0, 100, 100], [0, 100, 100, 100], [50, -50, 100, 100]])
    labels = tile_labels(mask, boxes, 3)
    assert labels.dtype == np.int8
    assert labels.tolist() == [[1, 0, 0], [0, 1, -1], [1, 0, 0]]


def test_the_share_is_an_option(mask):
    boxes = np.array([[0, 100, 100, 100]])
    assert tile_labels(mask, boxes, 3, min_share=0.05).tolist() == [[0, 1, 1]]
    assert tile_labels(mask, boxes, 3, min_share=0.2).tolist() == [[0, -1, -1]]


def test_outside_of_the_mask_is_nothing(mask):
    boxes = np.array([[500, 500, 10, 10], [-90, -90, 20, 20]])
    assert tile_labels(mask, boxes, 3).max() == 0
    assert tile_labels(mask, boxes[:0], 3).shape == (0, 3)


@pytest.mark.parametrize("share", [0.02, 1.5])
def test_wrong_shares_are_errors(mask, share):
    with pytest.raises(ValueError, match="min_share"):
        tile_labels(mask, np.array([[0, 0, 9, 9]]), 3, min_share=share)


def test_empty_boxes_are_errors(mask):
    with pytest.raises(ValueError, match="at least 1"):
        tile_labels(mask, np.array([[0, 0, 0, 9]]), 3)
