import numpy as np
import pytest
import torch

from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.models.shared_foreground import class_logits
from segmix_core.models.shared_maps import reassign_absent


def test_probabilities_are_those_of_a_plain_formula():
    scores = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(0))
    found = class_logits(scores).sigmoid()
    for b, y, x in np.ndindex(2, 3, 5):
        foreground, *classes = scores[b, :, y, x].double().numpy()
        shares = np.exp(classes) / np.exp(classes).sum()
        expected = shares / (1 + np.exp(-foreground))
        assert found[b, :, y, x].numpy() == pytest.approx(expected, abs=1e-5)
    foreground = scores[:, 0].sigmoid()
    torch.testing.assert_close(found.sum(1), foreground)


def test_a_single_class_is_the_foreground():
    scores = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(class_logits(scores)[:, 0], scores[:, 0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_scores_may_be_extreme(dtype):
    scores = torch.tensor([60.0, -60.0, 0.0], dtype=dtype)
    grid = torch.cartesian_prod(scores, scores, scores).T[None, :, :, None]
    grid = grid.clone().requires_grad_()
    logits = class_logits(grid)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    logits.sum().backward()
    assert grid.grad.isfinite().all()


def given(maps, *possible):
    maps = np.array(maps, np.float32)[:, None, None]
    kept = reassign_absent(maps, np.array(possible, np.bool_))
    assert kept.dtype == np.float32
    return pytest.approx(kept.ravel().tolist(), abs=1e-6)


def test_impossible_classes_give_in_proportion():
    maps = [0.1, 0.3, 0.2]
    assert given(maps, 1, 1, 1) == [0.1, 0.3, 0.2]
    assert given(maps, 1, 0, 0) == [0.6, 0, 0]
    assert given(maps, 1, 0, 1) == [0.2, 0, 0.4]
    assert given(maps, 0, 0, 0) == [0, 0, 0]


def test_where_nothing_is_in_proportion_parts_are_equal():
    assert given([0.0, 0.0, 0.8], 1, 1, 0) == [0.4, 0.4, 0]
    assert given([0.0, 0.0, 0.0], 1, 1, 0) == [0, 0, 0]


def test_the_network_has_such_maps():
    torch.manual_seed(0)
    made = CamClassifier(
        num_classes=3, width=8, pooled_share=0.5, shared_foreground=True
    )
    again = CamClassifier(**made.arguments)
    again.load_state_dict(made.state_dict())
    output = again.eval()(torch.rand(2, 3, 32, 32))
    assert output.scores.shape == (2, 4, 4, 4)
    assert torch.equal(output.cam, class_logits(output.scores))
    assert torch.equal(output.logits, again.pool(output.cam))
    total = again.show(output.cam).sum(1)
    torch.testing.assert_close(total, output.scores[:, 0].sigmoid())


def test_cells_must_be_probabilities():
    with pytest.raises(ValueError, match="below 1"):
        CamClassifier(num_classes=3, width=8, shared_foreground=True)
