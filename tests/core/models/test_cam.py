import pytest
import torch

from segmix_core.models.cam import (
    add_background,
    keep_present_classes,
    keep_strongest_class,
    make_seed,
    normalize_cam,
)


def test_each_class_has_its_own_maximum_or_all_one():
    cam = torch.tensor([[[[2.0, -1.0]], [[4.0, 1.0]]]])
    own = normalize_cam(cam)
    torch.testing.assert_close(
        own.flatten(), torch.tensor([1, 0, 1, 0.25]), atol=1e-4, rtol=0
    )
    joint = normalize_cam(cam, joint=True)
    torch.testing.assert_close(
        joint.flatten(), torch.tensor([0.5, 0, 1, 0.25]), atol=1e-4, rtol=0
    )


def test_flat_maps_stay_and_negative_maps_vanish():
    cam = torch.stack([torch.full((3, 3), 5.0), torch.full((3, 3), -5.0)])[None]
    normal = normalize_cam(cam)
    assert (normal[:, 0] > 0.999).all()
    assert (normal[:, 1] == 0).all()


def test_absent_classes_are_zero():
    cam = torch.ones(2, 2, 3, 3)
    kept = keep_present_classes(cam, torch.tensor([[True, False], [False, False]]))
    assert kept.sum(dim=(2, 3)).tolist() == [[9, 0], [0, 0]]


def test_background_is_what_no_class_claims():
    cam = torch.tensor([[[[0.2]], [[0.7]]]])
    expected = torch.tensor([0.3, 0.2, 0.7])
    torch.testing.assert_close(add_background(cam).flatten(), expected)


def test_only_the_strongest_class_stays_and_ties_stay():
    cam = torch.tensor([[[[0.2, 0.5]], [[0.7, 0.5]]]])
    assert keep_strongest_class(cam).flatten().tolist() == pytest.approx(
        [0, 0.5, 0.7, 0.5]
    )


@pytest.mark.parametrize("has_background", [False, True])
def test_seed(has_background):
    # Class 2 is absent but has the largest score: it must not set the scale.
    cam = torch.tensor(
        [[[[4.0, 1.0]], [[1.0, 2.0]], [[90.0, 90.0]]]], requires_grad=True
    )
    present = torch.tensor([[1, 1, 0]])
    seed = make_seed(cam, present, has_background=has_background)
    assert not seed.requires_grad
    if has_background:
        expected = [[0, 0], [1, 0], [0, 1], [0, 0]]
    else:
        expected = [[1, 0], [0, 0.5], [0, 0]]
    torch.testing.assert_close(
        seed[0, :, 0], torch.tensor(expected).float(), atol=1e-4, rtol=0
    )
