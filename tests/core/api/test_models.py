"""Models: asked, saved, loaded."""

import numpy as np
import pytest
import torch

import segmix_core as sx
from segmix_core.inference.image_cams import image_cams
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.runs import RunFolder, RunRequest
from tests.core.api.conftest import draw

IMAGES, LABELS = draw(5, edge=40)


def make(**arguments):
    torch.manual_seed(0)
    network = CamClassifier(num_classes=2, width=8, **arguments)
    return sx.TrainedClassifier(network, ["plain", "striped"], step=7)


def test_maps_of_strongest_cells_are_probabilities():
    model = make(pooled_share=0.1, shared_foreground=True)
    pixels = (IMAGES * 255).round().astype(np.uint8).transpose(0, 2, 3, 1)
    raw = image_cams(model.network, pixels).cams
    np.testing.assert_allclose(model.cams(IMAGES), raw, atol=1e-6)
    shared = model.cams(IMAGES, LABELS)
    assert model.shared_foreground
    own = LABELS[:, :, None, None]
    np.testing.assert_allclose(shared, own * raw.sum(1, keepdims=True), atol=1e-5)


def test_labels_given_to_the_maps_or_to_the_masks_are_the_same():
    model = make(pooled_share=0.1, shared_foreground=True)
    with torch.no_grad():
        model.network.head.weight *= 20_000
    options = {"background": "score", "background_score": 0.6, "margin": 0.0}
    plain, given, lost = (
        sx.pseudo_masks(cams, LABELS, shared_foreground=shared, **options)
        for cams, shared in (
            (model.cams(IMAGES), True),
            (model.cams(IMAGES, LABELS), False),
            (model.cams(IMAGES), False),
        )
    )
    np.testing.assert_array_equal(plain, given)
    assert (lost != plain).any()


def test_other_maps_are_shares_of_the_strongest():
    model = make()
    cams = model.cams(IMAGES, scales=(1.0, 1.5), refine=0.5)
    assert cams.shape == (5, 2, 40, 40)
    strongest = cams.max(axis=(1, 2, 3))
    assert ((strongest == 1) | (strongest == 0)).all()
    absent = model.cams(IMAGES, LABELS)[LABELS == 0]
    assert not absent.any()
    assert (model.cams(IMAGES, flips=False) != model.cams(IMAGES)).any()


def test_many_images_are_asked_in_parts():
    model = make(pooled_share=0.1)
    many = np.concatenate([IMAGES] * 8)
    np.testing.assert_allclose(model.cams(many)[35:], model.cams(IMAGES), atol=1e-6)
    sure = model.probabilities(many)
    assert sure.shape == (40, 2)
    np.testing.assert_allclose(sure[:5], model.probabilities(IMAGES), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "error", "problem"),
    [
        ((IMAGES[:, :2],), sx.DataError, "not RGB images"),
        ((IMAGES[..., :4, :4],), sx.DataError, "too few for this network"),
        ((IMAGES, LABELS[:2]), sx.DataError, r"\(5, 2\), not \(2, 2\)"),
    ],
)
def test_images_that_do_not_fit_are_refused(arguments, error, problem):
    with pytest.raises(error, match=problem):
        make().cams(*arguments)


@pytest.mark.parametrize("options", [{"scales": ()}, {"scales": (0,)}, {"refine": 2}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(sx.ConfigError, match="cannot be made this way"):
        make().cams(IMAGES, **options)


def test_a_saved_model_is_the_same(tmp_path):
    model = make(pooled_share=0.1, normalized_stain=True)
    model.save(str(tmp_path / "model"))
    found = sx.load_model(str(tmp_path / "model"), device="cpu")
    assert isinstance(found, sx.TrainedClassifier)
    assert (found.class_names, found.step) == (("plain", "striped"), 7)
    assert repr(found) == "<TrainedClassifier of plain, striped; 7 steps>"
    assert found.normalized_stain
    np.testing.assert_array_equal(found.cams(IMAGES), model.cams(IMAGES))
    with pytest.raises(sx.ConfigError, match="not a valid device"):
        sx.load_model(tmp_path / "model", device="abacus")


@pytest.mark.parametrize(("keep", "expected"), [("best", 1), ("last", 2)])
def test_a_run_has_the_weights_that_it_was_to_keep(tmp_path, keep, expected):
    request = RunRequest("train", tmp_path, {"train": {"keep": keep}}, {}, {})
    run = RunFolder.create(tmp_path / "runs", request)
    for step, name in ((1, "best"), (2, "last")):
        model = make()
        model.step = step
        model.save(run.checkpoints_path / name)
    assert sx.load_model(run.path).step == expected


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(sx.CheckpointError, match="has no trained model"):
        sx.load_model(tmp_path)
    with pytest.raises(sx.CheckpointError, match="has no trained model"):
        sx.load_model(tmp_path / "nowhere")
