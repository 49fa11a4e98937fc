"""Pseudo masks from arrays are those of the stage, tile by tile."""

import numpy as np
import pytest
import torch

import segmix_core as sx
from segmix_core.inference.pseudo_masks import make_pseudo_mask
from segmix_core.inference.pseudo_rules import PseudoMaskRules

RNG = np.random.default_rng(0)
CAMS = RNG.random((3, 2, 16, 12), np.float32)
LABELS = np.array([[1, 1], [0, 1], [-1, 1]])
IMAGES = RNG.integers(120, 256, (3, 16, 12, 3), dtype=np.uint8)
SURE = np.array([[0.1, 0.9], [0.2, 0.3], [0.7, 0.4]], np.float32)


@pytest.mark.parametrize("background", ["none", "score", "glass"])
@pytest.mark.parametrize("shared", [True, False])
def test_masks_are_those_of_the_stage(background, shared):
    options = {
        "background": background,
        "background_score": 0.6,
        "normalization": "class",
        "margin": 0.1,
        "min_object_px": 3,
        "min_hole_px": 2,
        "gate": 0.6,
    }
    found = sx.pseudo_masks(
        torch.from_numpy(CAMS),
        LABELS,
        images=torch.from_numpy(IMAGES).permute(0, 3, 1, 2),
        probabilities=SURE,
        shared_foreground=shared,
        **options,
    )
    for index, mask in enumerate(found):
        expected, _ = make_pseudo_mask(
            CAMS[index],
            (16, 12),
            LABELS[index],
            SURE[index],
            IMAGES[index],
            rules=PseudoMaskRules(**options),
            shared_foreground=shared,
        )
        np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(
    ("changes", "error", "problem"),
    [
        ({"cams": CAMS[0]}, sx.DataError, "not CAMs"),
        ({"cams": -CAMS}, sx.DataError, "negative"),
        ({"cams": CAMS.astype(object)}, sx.DataError, "not CAMs"),
        ({"labels": LABELS[:2]}, sx.DataError, r"not \(2, 2\)"),
        ({"images": None}, sx.DataError, "needs the images"),
        ({"images": IMAGES[:, :8]}, sx.DataError, "3 of 8 x 12"),
        ({"probabilities": None}, sx.DataError, "no probabilities are given"),
        ({"probabilities": SURE[:1]}, sx.DataError, "Probabilities must"),
        ({"probabilities": 2 * SURE}, sx.DataError, "Probabilities must"),
        ({"margin": 1.5}, sx.ConfigError, "margin in 0..1"),
        ({"background": "blue"}, sx.ConfigError, "background 'blue'"),
    ],
)
def test_what_does_not_fit_is_refused(changes, error, problem):
    arguments = {
        "cams": CAMS,
        "labels": LABELS,
        "images": IMAGES,
        "probabilities": SURE,
        **changes,
    }
    with pytest.raises(error, match=problem):
        sx.pseudo_masks(**arguments)


def test_known_labels_need_no_probabilities():
    known = np.abs(LABELS)
    masks = sx.pseudo_masks(CAMS, known, background="none", min_object_px=0)
    assert masks.shape == (3, 16, 12)
    assert (masks[1] == 2).all()
