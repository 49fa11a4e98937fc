import numpy as np
import pytest
import torch
from torch.nn import functional as F

from segmix_core.data.symmetries import symmetries_of, turn, turn_back
from segmix_core.inference.cam_maps import cam_maps
from segmix_core.models.cam_classifier import CamClassifier


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return CamClassifier(num_classes=3, width=8)


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(1))


def _reference_cam_maps(model, images, scales, flips, refine):
    """Slow twin: one tile, one scale, one view at a time; NumPy turns and mirrors."""
    model.eval()
    symmetries = [(k, m) for k in range(4) for m in (0, 1)] if flips else [(0, 0)]
    cams, probabilities = [], []
    for image in images.numpy():
        cam_sum, probability_sum = 0, 0
        for scale in scales:
            size = [max(8, round(scale * edge / 8) * 8) for edge in image.shape[1:]]
            scaled = F.interpolate(
                torch.from_numpy(image)[None], size, mode="bilinear", antialias=True
            )[0].numpy()
            for turns, mirrored in symmetries:
                seen = np.rot90(scaled, turns, (1, 2))
                seen = seen[:, ::-1] if mirrored else seen
                batch = torch.from_numpy(seen.copy())[None]
                with torch.no_grad():
                    output = model(batch)
                    cam = output.cam.clamp(min=0)
                    refined = model.refine(cam, batch, output)
                cam = ((1 - refine) * cam + refine * refined)[0].numpy()
                cam = cam[:, ::-1] if mirrored else cam
                cam = np.rot90(cam, -turns, (1, 2)).copy()
                grid = (image.shape[1] // 8, image.shape[2] // 8)
                cam_sum = cam_sum + F.interpolate(
                    torch.from_numpy(cam)[None], grid, mode="bilinear", antialias=True
                )
                probability_sum = probability_sum + 1 / (1 + torch.exp(-output.logits))
        count = len(scales) * len(symmetries)
        cams.append(cam_sum / count)
        probabilities.append(probability_sum / count)
    return torch.cat(cams), torch.cat(probabilities)


@pytest.mark.parametrize("scales", [(1.0,), (1.0, 1.25), (0.5, 2.0)])
@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize("refine", [0.0, 0.4])
def test_equals_the_slow_twin(model, images, scales, flips, refine):
    result = cam_maps(model, images, scales=scales, flips=flips, refine=refine)
    cam, probabilities = _reference_cam_maps(model, images, scales, flips, refine)
    assert result.cam.shape == (2, 3, 4, 6)
    assert result.cam.min() >= 0
    torch.testing.assert_close(result.cam, cam, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(result.probabilities, probabilities)


def test_plain_call_is_the_models_own_answer(model, images):
    result = cam_maps(model, images)
    with torch.no_grad():
        output = model.eval()(images)
    torch.testing.assert_close(result.cam, output.cam.relu())
    torch.testing.assert_close(result.probabilities, output.logits.sigmoid())


def test_averaging_over_views_makes_maps_turn_with_the_tile(model, images):
    square = images[..., :32]
    upright = cam_maps(model, square, flips=True).cam
    turned = cam_maps(model, torch.rot90(square, 1, (-2, -1)), flips=True).cam
    torch.testing.assert_close(turned, torch.rot90(upright, 1, (-2, -1)))


@pytest.mark.parametrize("refine", [0.0, 0.5, 1.0])
def test_refinement_keeps_the_scale(model, images, refine):
    raw = cam_maps(model, images).cam
    refined = cam_maps(model, images, refine=refine).cam
    assert torch.equal(refined, raw) == (refine == 0)
    assert (refined.amax((2, 3)) <= raw.amax((2, 3)) + 1e-5).all()


def test_odd_sizes_are_padded_below_and_right_in_every_view(model):
    images = torch.rand(1, 3, 27, 35, generator=torch.Generator().manual_seed(2))
    padded = F.pad(images, (0, 5, 0, 5), mode="reflect")
    odd, even = (cam_maps(model, x, flips=True).cam for x in (images, padded))
    assert odd.shape == (1, 3, 4, 5)
    torch.testing.assert_close(odd, even)


def test_training_goes_on_as_before(model, images):
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    result = cam_maps(model, images)
    assert model.training
    assert not result.cam.requires_grad
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": ()}, "scales > 0"),
        ({"scales": (1.0, 0.0)}, "scales > 0"),
        ({"refine": 1.5}, "refine in 0..1"),
    ],
)
def test_bad_options_are_refused(model, images, options, message):
    with pytest.raises(ValueError, match=message):
        cam_maps(model, images, **options)


def test_images_below_a_stride_are_refused(model):
    with pytest.raises(ValueError, match="at least 8 pixels"):
        cam_maps(model, torch.zeros(1, 3, 7, 20))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu(images):
    model = CamClassifier(num_classes=3, width=8)
    options = {"scales": (1.0, 1.25), "flips": True, "refine": 0.5}
    expected = cam_maps(model, images, **options)
    result = cam_maps(model.cuda(), images.cuda(), **options)
    torch.testing.assert_close(result.cam.cpu(), expected.cam, atol=2e-3, rtol=2e-2)


@pytest.mark.parametrize("fusion", [False, True])
@pytest.mark.parametrize("flips", [False, True])
def test_a_margin_is_seen_but_has_no_map(fusion, flips):
    torch.manual_seed(0)
    model = CamClassifier(num_classes=2, width=8, fusion=fusion).eval()
    images = torch.rand(2, 3, 64, 72) if not flips else torch.rand(2, 3, 64, 64)
    whole = cam_maps(model, images, flips=flips)
    found = cam_maps(model, images, flips=flips, margin=16)
    first = 16 // model.stride
    torch.testing.assert_close(found.cam, whole.cam[..., first:-first, first:-first])
    logits = []
    with torch.no_grad():
        for view in symmetries_of(flips):
            raw = turn_back(model(turn(images, view)).cam, view)
            inner = raw[..., first:-first, first:-first]
            logits.append(inner.mean(dim=(2, 3)).sigmoid())
    torch.testing.assert_close(found.probabilities, torch.stack(logits).mean(dim=0))


@pytest.mark.parametrize("margin", [4, 32, -8])
def test_margins_that_do_not_fit(margin):
    model = CamClassifier(num_classes=2, width=8).eval()
    with pytest.raises(ValueError, match="Expected a margin that is a multiple of 8"):
        cam_maps(model, torch.rand(1, 3, 64, 64), margin=margin)
