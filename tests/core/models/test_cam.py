import pytest
import torch

from segmix_core.models.cam import (
    keep_present_classes,
    keep_strongest_class,
    make_seed,
    normalize_cam,
)


def test_the_classes_of_a_tile_have_one_scale():
    cam = torch.tensor([[[[2.0, -1.0]], [[4.0, 1.0]]]])
    torch.testing.assert_close(
        normalize_cam(cam).flatten(),
        torch.tensor([0.5, 0, 1, 0.25]),
        atol=1e-4,
        rtol=0,
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


def test_only_the_strongest_class_stays_and_ties_stay():
    cam = torch.tensor([[[[0.2, 0.5]], [[0.7, 0.5]]]])
    assert keep_strongest_class(cam).flatten().tolist() == pytest.approx(
        [0, 0.5, 0.7, 0.5]
    )


def test_seed():
    # Class 2 is absent but has the largest score: it must not set the scale.
    cam = torch.tensor(
        [[[[4.0, 1.0]], [[1.0, 2.0]], [[90.0, 90.0]]]], requires_grad=True
    )
    present = torch.tensor([[1, 1, 0]])
    seed = make_seed(cam, present)
    assert not seed.requires_grad
    expected = [[1, 0], [0, 0.5], [0, 0]]
    torch.testing.assert_close(
        seed[0, :, 0], torch.tensor(expected).float(), atol=1e-4, rtol=0
    )
