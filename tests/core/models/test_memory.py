import numpy as np
import pytest
import torch

from segmix_core.models.memory import PartsThatFit, is_out_of_memory


class Asked:
    """Doubles images, at most so many at a time."""

    def __init__(self, most):
        self.most = most
        self.sizes = []

    def __call__(self, images):
        self.sizes.append(len(images))
        if len(images) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        return 2 * images


@pytest.mark.parametrize(
    ("most", "sizes"),
    [(7, [7]), (3, [7, 3, 3, 1]), (2, [7, 3, 1, 1, 1, 1, 1, 1, 1])],
)
def test_what_does_not_fit_is_asked_in_halves(most, sizes):
    asked, images = Asked(most), np.arange(7)
    found = PartsThatFit().ask(asked, images)
    assert asked.sizes == sizes
    assert np.array_equal(np.concatenate(found), 2 * images)


def test_what_did_not_fit_is_not_tried_again():
    asked, parts = Asked(2), PartsThatFit()
    parts.ask(asked, torch.arange(4))
    asked.sizes.clear()
    assert len(parts.ask(asked, torch.arange(5))) == 3
    assert asked.sizes == [2, 2, 1]
    # A shorter batch may fit as it is.
    asked.sizes.clear()
    parts.ask(asked, torch.arange(2))
    assert asked.sizes == [2]


def test_one_image_that_does_not_fit():
    with pytest.raises(torch.OutOfMemoryError):
        PartsThatFit().ask(Asked(0), torch.arange(3))


def test_other_errors_are_not_taken_for_lack_of_memory():
    def wrong(images):
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        PartsThatFit().ask(wrong, torch.arange(3))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("MPS backend out of memory"))
