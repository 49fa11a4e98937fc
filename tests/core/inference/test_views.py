import pytest
import torch
from torch import nn

from segmix_core.inference.views import View, asking, views_of


def test_eight_different_views_and_their_inverses():
    image = torch.arange(12.0).reshape(1, 3, 4)
    seen = set()
    for view in views_of(flips=True):
        turned = view.apply(image)
        assert torch.equal(view.undo(turned), image)
        seen.add((tuple(turned.shape), tuple(turned.flatten().tolist())))
    assert len(seen) == 8
    assert views_of(flips=False) == (View(),)


@pytest.mark.parametrize("training", [True, False])
def test_asking_restores_the_mode_even_after_an_error(training):
    module = nn.BatchNorm2d(2).train(training)

    def fail_while_asking():
        with asking(module):
            assert not module.training
            assert torch.is_inference_mode_enabled()
            raise KeyError

    with pytest.raises(KeyError):
        fail_while_asking()
    assert module.training is training
    assert not torch.is_inference_mode_enabled()
