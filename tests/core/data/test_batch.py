import pytest
import torch

from segmix_core.data.batch import Batch


def make_batch(count: int, with_masks: bool = True) -> Batch:
    return Batch(
        images=torch.rand(count, 3, 8, 8),
        labels=torch.ones(count, 2),
        tile_ids=torch.arange(count),
        valid=torch.full((count, 2), 8),
        masks=torch.zeros(count, 8, 8, dtype=torch.uint8) if with_masks else None,
        weights=torch.ones(count, 8, 8) if with_masks else None,
        corrected=torch.arange(count)[:, None, None] == 1 if with_masks else None,
    )


@pytest.mark.parametrize("with_masks", [True, False])
def test_part_takes_the_same_tiles_everywhere(with_masks: bool) -> None:
    batch = make_batch(5, with_masks)
    part = batch.part(1, 3)
    assert len(part) == 2
    assert part.tile_ids.tolist() == [1, 2]
    assert torch.equal(part.images, batch.images[1:3])
    assert (part.masks is not None) == with_masks
    if part.corrected is not None:
        assert part.corrected.flatten().tolist() == [True, False]
    assert part.to(torch.device("cpu")).tile_ids.tolist() == [1, 2]


def test_with_pixels_keeps_the_tiles() -> None:
    batch = make_batch(2)
    other = batch.with_pixels(torch.zeros(2, 3, 4, 4), None, None)
    assert other.images.shape == (2, 3, 4, 4)
    assert other.masks is None
    assert torch.equal(other.labels, batch.labels)


def test_images_must_be_rgb_batches() -> None:
    tensor = torch.zeros(1)
    with pytest.raises(ValueError, match=r"images \(B, 3, H, W\)"):
        Batch(torch.zeros(3, 8, 8), tensor, tensor, tensor)


def test_masks_need_weights() -> None:
    tensor = torch.zeros(1)
    with pytest.raises(ValueError, match="together"):
        Batch(torch.zeros(1, 3, 8, 8), tensor, tensor, tensor, masks=tensor)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_pinned_memory_holds_the_same() -> None:
    batch = make_batch(2)
    pinned = batch.pinned()
    assert pinned.images.is_pinned()
    assert torch.equal(pinned.images, batch.images)
