"""What people have drawn decides all classes of a pixel, labels those of a tile."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from segmix_core.data.batch import Batch
from segmix_core.training.supervised_task import SupervisedTask
from segmix_core.training.task import StepContext


class Scores(nn.Module):
    """Answers the same, whatever it is shown."""

    def __init__(self, scores, *, shared):
        super().__init__()
        self.scores = nn.Parameter(scores)
        self.shared_foreground = shared

    def forward(self, images):
        return SimpleNamespace(scores=self.scores)


def make_batch(labels, masks, weights, corrected):
    count, *shape = masks.shape
    return Batch(
        images=torch.zeros(count, 3, *shape),
        labels=labels,
        tile_ids=torch.arange(count),
        valid=torch.tensor([shape] * count),
        masks=masks,
        weights=weights,
        corrected=corrected,
    )


def learn(scores, batch, *, shared, augment=False, seed=0):
    """Return the loss and its gradient by the scores."""
    module = Scores(scores.clone(), shared=shared)
    task = SupervisedTask(module, augment=augment)
    generator = torch.Generator().manual_seed(seed)
    loss = task.training_step(batch, StepContext(0, 1, 0, generator)).loss
    loss.backward()
    return loss.detach(), module.scores.grad


def loss_by_labels(scores, masks, weights, decided):
    """Return the loss of separate maps as it is without corrections."""
    columns = torch.arange(1, scores.shape[1] + 1)
    truth = (masks[:, None] == columns[None, :, None, None]).float()
    scores = F.interpolate(
        scores, masks.shape[-2:], mode="bilinear", align_corners=False
    )
    each = F.binary_cross_entropy_with_logits(scores, truth, reduction="none")
    counted = (weights * (masks != 255))[:, None] * decided[:, :, None, None]
    return (each * counted).sum() / counted.sum().clamp(min=1e-6)


def shared_loss_by_labels(scores, masks, weights, decided):
    """Return the loss of a shared foreground as it is without corrections."""
    scores = F.interpolate(
        scores, masks.shape[-2:], mode="bilinear", align_corners=False
    )
    foreground, classes = scores[:, :1], scores[:, 1:].log_softmax(dim=1)
    sure = torch.cat(
        [F.logsigmoid(-foreground), F.logsigmoid(foreground) + classes], dim=1
    )
    values = torch.where(masks == 255, 0, masks).long()
    own = F.one_hot(values, decided.shape[1] + 1).movedim(-1, 1).bool()
    known = (own[:, 1:] & decided[:, :, None, None]).any(dim=1)
    rest = F.pad(~decided, (1, 0), value=True)[:, :, None, None]
    allowed = torch.where(known[:, None], own, rest)
    each = -sure.masked_fill(~allowed, -torch.inf).logsumexp(dim=1)
    counted = weights * (masks != 255) * decided.any(dim=1)[:, None, None]
    return (each * counted).sum() / counted.sum().clamp(min=1e-6)


@pytest.mark.parametrize("nobody", [None, "no pixel"])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("edge", [8, 64, 57])
def test_without_corrections_labels_decide_to_the_last_bit(shared, edge, nobody):
    generator = torch.Generator().manual_seed(edge)
    channels, cells = 3 + shared, -(-edge // 8)
    scores = torch.randn(5, channels, cells, cells, generator=generator)
    masks = torch.randint(0, 4, (5, edge, edge), generator=generator).byte()
    masks[:, : edge // 4] = 255
    weights = torch.rand(5, edge, edge, generator=generator)
    labels = torch.randint(0, 2, (5, 3), generator=generator).float()
    labels[0] = 0
    corrected = None if nobody is None else torch.zeros(5, edge, edge).bool()
    found = learn(scores, make_batch(labels, masks, weights, corrected), shared=shared)
    formula = shared_loss_by_labels if shared else loss_by_labels
    scores.requires_grad_()
    loss = formula(scores, masks, weights, labels > 0)
    loss.backward()
    assert torch.equal(found[0], loss.detach())
    assert torch.equal(found[1], scores.grad)


@pytest.mark.parametrize(
    ("drawn", "shared", "signs"),
    [
        # Against the gradient the score grows: a class that was drawn, and the
        # foreground that it is a part of, and no other.
        (2, False, [1, -1]),
        (1, False, [-1, 1]),
        (0, False, [1, 1]),
        (2, True, [-1, 1, -1]),
        (1, True, [-1, -1, 1]),
        (0, True, [1, 0, 0]),
    ],
)
def test_what_is_drawn_is_known_of_all_classes(drawn, shared, signs):
    scores = torch.zeros(1, 2 + shared, 8, 8)
    masks = torch.full((1, 8, 8), drawn, dtype=torch.uint8)
    weights = torch.full((1, 8, 8), 4.0)
    # The labels of the tile tell of class 1 alone.
    labels = torch.tensor([[1.0, 0.0]])
    corrected = torch.zeros(1, 8, 8).bool()
    corrected[:, :4] = True
    batch = make_batch(labels, masks, weights, corrected)
    _, gradient = learn(scores, batch, shared=shared)
    assert (gradient[0, :, :4].sign() == torch.tensor(signs).view(-1, 1, 1)).all()
    # Elsewhere class 2 is as unknown as before.
    by_labels = make_batch(labels, masks, weights, None)
    _, former = learn(scores, by_labels, shared=shared)
    assert (gradient[0, :, 4:].sign() == former[0, :, 4:].sign()).all()
    if not shared:
        assert not gradient[0, 1, 4:].any()


@pytest.mark.parametrize("shared", [False, True])
def test_a_tile_without_decided_labels_teaches_what_was_drawn(shared):
    scores = torch.zeros(1, 2 + shared, 8, 8)
    masks = torch.full((1, 8, 8), 2, dtype=torch.uint8)
    corrected = torch.zeros(1, 8, 8).bool()
    corrected[:, :, 5:] = True
    # Drawn as undecided.
    masks[:, 0, 5:] = 255
    batch = make_batch(torch.zeros(1, 2), masks, torch.ones(1, 8, 8), corrected)
    _, gradient = learn(scores, batch, shared=shared)
    assert not gradient[..., :5].any()
    assert not gradient[:, :, 0].any()
    assert (gradient[0, -1, 1:, 5:] < 0).all()


@pytest.mark.parametrize("shared", [False, True])
def test_tiles_are_turned_with_what_was_drawn(shared):
    # Scores are equal everywhere, so that only what belongs to a pixel counts.
    scores = torch.tensor([0.3, -1.2, 0.8][: 2 + shared]).view(1, -1, 1, 1)
    scores = scores.expand(4, -1, 8, 8)
    masks = torch.ones(4, 8, 8).byte()
    masks[:, 0] = 2
    weights = torch.where(masks == 2, 4.0, 1.0)
    labels = torch.tensor([[1.0, 0.0]]).expand(4, -1)
    batch = make_batch(labels, masks, weights, masks == 2)
    expected, _ = learn(scores, batch, shared=shared)
    for seed in range(3):
        loss, gradient = learn(scores, batch, shared=shared, augment=True, seed=seed)
        torch.testing.assert_close(loss, expected)
        assert (gradient[:, -1] < 0).sum() == masks.eq(2).sum()


@pytest.mark.parametrize(("shared", "amount"), [(False, 48 + 32), (True, 32 + 16)])
def test_the_amount_is_the_weight_of_what_is_decided(shared, amount):
    masks = torch.ones(2, 8, 8).byte()
    masks[:, 4:] = 255
    corrected = torch.zeros(2, 8, 8).bool()
    # Both columns in 16 pixels of each tile, and in the first one in 16 more.
    corrected[:, :2] = True
    batch = make_batch(
        torch.tensor([[1.0, 0.0], [0.0, 0.0]]), masks, torch.ones(2, 8, 8), corrected
    )
    module = Scores(torch.zeros(2, 2 + shared, 8, 8), shared=shared)
    assert SupervisedTask(module).amount(batch) == amount
