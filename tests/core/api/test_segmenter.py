"""A segmenter trained on arrays, and asked about arrays and slides."""

import numpy as np
import pytest
import tifffile
import torch
from torch.utils.data import DataLoader, TensorDataset

import segmix_core as sx
from tests.core.api.conftest import CLASSES, MACHINE

SETTINGS = sx.SegmenterSettings(
    epochs=30, batch_size=4, encoder="tu-mobilenetv3_small_050"
)


def halves(edge=32):
    """A dark left half of class 1 and a bright right half of class 2."""
    image = np.full((edge, edge, 3), 40, np.uint8)
    mask = np.ones((edge, edge), np.int64)
    image[:, edge // 2 :], mask[:, edge // 2 :] = 220, 2
    return image, mask


def train(pairs, settings=SETTINGS, **options):
    return sx.train_segmenter(
        pairs, classes=CLASSES, settings=settings, machine=MACHINE, **options
    )


@pytest.fixture(scope="module")
def model():
    image, mask = halves()
    pairs = [(image, mask), (image.transpose(2, 0, 1) / 255, torch.from_numpy(mask))]
    return train(zip(*zip(*(pairs * 2), strict=True), strict=True))


def test_it_learns_what_the_masks_say(model):
    image, mask = halves()
    found = model.predict(image)
    assert found.dtype == np.uint8
    assert (found == mask).mean() > 0.9
    both = model.predict(np.stack([image, image]).transpose(0, 3, 1, 2))
    assert both.shape == (2, 32, 32)
    assert model.step == 30
    # No pixel was background, so none is predicted.
    assert set(np.unique(found)) <= {1, 2}


def test_a_slide_is_predicted_at_the_pixel_size_asked_for(model, tmp_path):
    image, _ = halves(128)
    path = tmp_path / "slide.tif"
    tags = {"resolution": (40000, 40000), "resolutionunit": 3}
    tifffile.imwrite(path, image, photometric="rgb", tile=(64, 64), **tags)
    windows = sx.PredictSettings(window_px=64, overlap_px=8)
    whole = model.predict(path, settings=windows)
    assert whole.shape == (128, 128)
    np.testing.assert_array_equal(whole, model.predict(image, settings=windows))
    assert model.predict(str(path), mpp=0.5).shape == (64, 64)
    with pytest.raises(sx.DataError, match="mpp cannot be 0"):
        model.predict(path, mpp=0)
    bare = tmp_path / "bare.tif"
    tifffile.imwrite(bare, image, photometric="rgb")
    with pytest.raises(sx.SlideError, match="does not say its pixel size"):
        model.predict(bare, mpp=0.5)
    with pytest.raises(sx.SlideError, match="does not exist"):
        model.predict(tmp_path / "no.tif")


def test_arrays_that_are_no_images_are_refused(model):
    with pytest.raises(sx.DataError, match="not RGB images"):
        model.predict(np.zeros((32, 32)))
    with pytest.raises(sx.DataError, match="An array has no pixel size"):
        model.predict(halves()[0], mpp=0.5)


def test_a_saved_segmenter_is_the_same(model, tmp_path):
    model.save(tmp_path / "model")
    found = sx.load_model(tmp_path / "model", device="cpu")
    assert isinstance(found, sx.TrainedSegmenter)
    assert repr(found) == repr(model)
    assert repr(found).startswith("<TrainedSegmenter of ")
    image, _ = halves()
    np.testing.assert_array_equal(found.predict(image), model.predict(image))


def test_batches_of_a_loader_train_and_stop_and_go_on(tmp_path):
    image, mask = halves()
    images = torch.from_numpy(np.stack([image] * 6)).permute(0, 3, 1, 2)
    masks = torch.from_numpy(np.stack([mask] * 6))
    loader = DataLoader(TensorDataset(images, masks), batch_size=4)
    few = SETTINGS.model_copy(update={"epochs": 2})
    whole = train(loader, few)
    assert whole.step == 4
    broken = train(loader, few, checkpoints=tmp_path, progress=lambda state: False)
    assert (broken.step, broken.completed) == (1, False)
    other = few.model_copy(update={"dice_weight": 5.0})
    with pytest.raises(sx.CheckpointError, match=r"has dice weight .*, not 5\.0"):
        train(loader, other, checkpoints=tmp_path)
    again = train(loader, few, checkpoints=tmp_path)
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], tensor), name


IMAGE, MASK = halves()


@pytest.mark.parametrize(
    ("pairs", "problem"),
    [
        ([], "There are no images"),
        ([IMAGE], "not a pair of an image"),
        ([(IMAGE, MASK[:8])], r"\(8, 32\), but its image \(32, 32\)"),
        ([(IMAGE, MASK + 1)], "the value 3, which is no class"),
        ([(IMAGE[None], MASK)], r"1 images cannot have masks of shape \(32, 32\)"),
        ([(IMAGE, np.full_like(MASK, 255))], "no pixel with a class"),
        ([(IMAGE, np.where(MASK == 1, 0, 255))], "no pixel with a class"),
    ],
)
def test_masks_that_do_not_fit_are_refused(pairs, problem):
    with pytest.raises(sx.DataError, match=problem):
        train(pairs)
