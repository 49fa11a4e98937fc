import pytest
import torch

from segmix_core.curriculum.level import ShuffleLevel
from segmix_core.curriculum.mixed_labels import LabelRule, mix_labels
from segmix_core.curriculum.shuffle import shuffle_batch
from tests.reference import shuffle as reference


def shuffle(labels, ratio, seed, rule):
    images, level = torch.zeros(len(labels), 3, 12, 12), ShuffleLevel(4, ratio)
    generator = torch.Generator().manual_seed(seed)
    return shuffle_batch(
        images,
        labels,
        patch_size=level.patch_size,
        ratio=level.shuffle_ratio,
        label_rule=rule.kind,
        least_share=rule.least_share,
        generator=generator,
    )


@pytest.mark.parametrize("ratio", [0.25, 0.75, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_certain_labels_are_kept_one_by_one(seed, ratio):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(-1, 2, (8, 3), generator=generator).float()
    mixed = shuffle(labels, ratio, seed, LabelRule("certain"))
    sources = mixed.origins.sources.numpy()
    area = reference.mix_labels(labels.numpy(), sources)
    expected = reference.keep_certain(area, labels.numpy(), sources)
    torch.testing.assert_close(mixed.labels, torch.from_numpy(expected))


def test_labels_of_one_class_are_all_certain():
    labels = torch.eye(2)[[0, 1, 1, 0]]
    area, certain = (
        shuffle(labels, 0.5, 0, LabelRule(kind)).labels for kind in ("area", "certain")
    )
    assert torch.equal(area, certain)
    assert ((area > 0) & (area < 1)).any()


@pytest.mark.parametrize("ratio", [0.25, 0.75, 1.0])
@pytest.mark.parametrize("least_share", [0.0, 0.1, 0.34, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_presence_is_told_patch_by_patch(seed, least_share, ratio):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(-1, 2, (8, 3), generator=generator).float()
    # Tiles of one class alone are rare among such labels.
    labels[:4] = torch.eye(3)[torch.randint(3, (4,), generator=generator)]
    mixed = shuffle(labels, ratio, seed, LabelRule("present", least_share))
    sources = mixed.origins.sources.numpy()
    expected = reference.tell_presence(labels.numpy(), sources, least_share)
    assert torch.equal(mixed.labels, torch.from_numpy(expected))


def test_presence_of_pairs():
    both, first, second = [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]
    # Of tile 0 one patch in four comes from tile 1, and so on.
    sources = torch.tensor([[[0, 1], [0, 0]], [[1, 0], [1, 1]]])

    def told(one, other, least_share=0.1):
        rule = LabelRule("present", least_share)
        return mix_labels(torch.tensor([one, other]), sources, rule)[0].tolist()

    assert told(first, second) == [[1, 1], [1, 1]]
    assert told(first, second, 0.5) == [[1, -1], [-1, 1]]
    # The patch of the tile with both may show either.
    assert told(both, first) == [[1, -1], [1, -1]]
    assert told(both, both) == [[1, 1], [1, 1]]
    assert told(first, first) == [[1, 0], [1, 0]]


def test_a_share_is_a_share():
    with pytest.raises(ValueError, match=r"share must be in 0..1, not 1.5"):
        LabelRule("present", 1.5)
