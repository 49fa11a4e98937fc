from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.segmentation import slic

from segmix_core.inference.pseudo_masks import make_pseudo_mask
from segmix_core.inference.pseudo_rules import PseudoMaskRules
from segmix_core.inference.refinement import (
    in_windows,
    vote_in_superpixels,
    walk_from_seeds,
)

PINK, PURPLE, WHITE = (222, 150, 190), (110, 60, 140), (245, 245, 245)


def _picture(edge, shape=(24, 40), noise=2):
    """Pink left of column ``edge``, purple from there on."""
    image = np.full((*shape, 3), PINK, float)
    image[:, edge:] = PURPLE
    image += np.random.default_rng(0).normal(0, noise, image.shape)
    return image.clip(0, 255).astype(np.uint8)


def _mask(edge, shape=(24, 40)):
    mask = np.ones(shape, np.uint8)
    mask[:, edge:] = 2
    return mask


def _lead(edge, shape=(24, 40)):
    """Surer the further away from column ``edge``."""
    distance = abs(np.arange(shape[1]) + 0.5 - edge) / shape[1]
    return np.broadcast_to(distance, shape).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), share=st.sampled_from([0.0, 0.5, 0.7, 1.0]))
def test_votes_equal_the_slow_twin(seed, share):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (20, 23, 3), np.uint8)
    mask = rng.choice(np.array([0, 2, 5, 255], np.uint8), (20, 23))
    parts = slic(image, n_segments=20 * 23 // 46, start_label=0, channel_axis=-1)
    expected = np.full(mask.shape, 255, np.uint8)
    for part in np.unique(parts):
        votes = Counter(int(v) for v in np.sort(mask[parts == part]) if v != 255)
        if votes:
            (winner, most), *_ = votes.most_common()
            if most / votes.total() >= share:
                expected[parts == part] = winner
    found = vote_in_superpixels(mask, image, area_px=46, share=share)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


def test_superpixels_move_an_edge_to_that_of_the_image():
    found = vote_in_superpixels(_mask(18), _picture(20), area_px=40, share=0.5)
    assert (found != _mask(20)).mean() < 0.01


def test_a_superpixel_without_votes_is_ignored():
    nothing = np.full((24, 40), 255, np.uint8)
    np.testing.assert_array_equal(vote_in_superpixels(nothing, _picture(20)), nothing)
    mask = _mask(20)
    mask[:, 20:] = 255
    found = vote_in_superpixels(mask, _picture(20), area_px=40)
    assert set(np.unique(found)) == {1, 255}


def _reference_walk(mask, marks, rgb, beta):
    """Slow twin: the probabilities of a dense linear system, pixel by pixel."""
    image = rgb / 255
    scale = beta / (10 * image.std() * np.sqrt(3))
    height, width = mask.shape
    size = height * width
    laplacian = np.zeros((size, size))
    for y, x in np.ndindex(mask.shape):
        for dy, dx in ((0, 1), (1, 0)):
            if y + dy < height and x + dx < width:
                step = ((image[y, x] - image[y + dy, x + dx]) ** 2).sum()
                weight = np.exp(-scale * step) + 1e-10
                a, b = y * width + x, (y + dy) * width + x + dx
                laplacian[a, b] = laplacian[b, a] = -weight
    np.fill_diagonal(laplacian, -laplacian.sum(axis=1))
    flat = marks.ravel()
    free, fixed = np.flatnonzero(flat == 0), np.flatnonzero(flat)
    result = mask.copy().ravel()
    sides = np.stack([flat[fixed] == value for value in np.unique(flat[fixed])], 1)
    chances = np.linalg.solve(
        laplacian[np.ix_(free, free)], -laplacian[np.ix_(free, fixed)] @ sides
    )
    result[free] = np.unique(flat[fixed])[chances.argmax(axis=1)]
    return result.reshape(mask.shape)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_walks_equal_the_slow_twin(seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(90, 160, (9, 11, 3), np.uint8)
    mask = rng.choice(np.array([1, 2, 3], np.uint8), (9, 11))
    lead = rng.random((9, 11)).astype(np.float32)
    marks = np.zeros(mask.shape, np.uint8)
    for value in (1, 2, 3):
        sure = np.quantile(lead[mask == value], 0.7)
        marks[(mask == value) & (lead >= sure)] = value
    found = walk_from_seeds(mask, lead, image, seeds=0.3, beta=40)
    np.testing.assert_array_equal(found, _reference_walk(mask, marks, image, 40))


def test_a_walk_moves_an_edge_to_that_of_the_image():
    found = walk_from_seeds(_mask(16), _lead(16), _picture(20), seeds=0.5)
    np.testing.assert_array_equal(found, _mask(20))


def test_a_walk_decides_ignored_pixels_unless_they_are_close():
    mask = _mask(20)
    mask[:, 15:25] = 255
    image = _picture(20)
    np.testing.assert_array_equal(walk_from_seeds(mask, _lead(20), image), _mask(20))
    grey = np.random.default_rng(0).integers(100, 104, image.shape, np.uint8)
    unsure = walk_from_seeds(mask, _lead(20), grey, margin=0.3, beta=1e-3)
    assert (unsure[:, 19:21] == 255).all()
    assert (unsure[:, 15] == 1).all()


def test_no_value_comes_in_and_each_keeps_a_seed():
    mask = _mask(38)
    mask[3, 3] = 0
    found = walk_from_seeds(mask, _lead(20), _picture(20), seeds=0.0)
    assert set(np.unique(found)) == {0, 1, 2}
    assert set(np.unique(walk_from_seeds(mask, _lead(20), _picture(20), seeds=1.0)))
    np.testing.assert_array_equal(
        walk_from_seeds(mask, _lead(20), _picture(20), seeds=1.0), mask
    )


@pytest.mark.parametrize("color", [PINK, (128, 128, 128)])
def test_nothing_to_walk_by(color):
    plain = np.full((24, 40, 3), color, np.uint8)
    one = np.where(_mask(20) == 2, np.uint8(255), _mask(20))
    np.testing.assert_array_equal(walk_from_seeds(one, _lead(20), _picture(9)), one)
    found = walk_from_seeds(_mask(20), _lead(20), plain)
    np.testing.assert_array_equal(found, _mask(20))


def test_closed_pixels_are_no_way():
    mask, closed = _mask(20), np.zeros((24, 40), bool)
    mask[10:14, 30:34] = 255
    closed[9:15, 29:35] = True
    closed[10:14, 30:34] = False
    found = walk_from_seeds(mask, _lead(20), _picture(20), closed=closed)
    assert (found[10:14, 30:34] == 255).all()
    assert (found[9, 29:35] == 2).all()
    # All that is not sure is cut off.
    everything = walk_from_seeds(
        mask, _lead(20), _picture(20), seeds=1.0, closed=closed
    )
    np.testing.assert_array_equal(everything, mask)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    window=st.sampled_from([16, 21, 32]),
)
def test_windows_are_put_back_at_their_place(height, width, window):
    whole = np.random.default_rng(0).integers(0, 9, (height, width), np.uint8)
    seen = np.zeros(whole.shape, int)

    def refine(part):
        assert max(whole[part].shape) <= window
        seen[part] += 1
        return whole[part].copy()

    found = in_windows(refine, whole.shape, window_px=window, overlap_px=5)
    np.testing.assert_array_equal(found, whole)
    assert seen.min() >= 1


def test_a_window_keeps_what_is_nearer_to_its_middle():
    number = iter(range(2))

    def refine(part):
        return np.full((4, part[1].stop - part[1].start), next(number), np.uint8)

    found = in_windows(refine, (4, 28), window_px=20, overlap_px=4)
    assert found[0].tolist() == [0] * 14 + [1] * 14


def _tile(refinement, labels=(1, 1, 0), background="none", rgb=None, **changes):
    cam = np.zeros((3, 24, 40), np.float32)
    cam[0] = np.linspace(1, 0, 40) ** 0.8
    cam[1] = 1 - cam[0]
    cam[2] = 3.0
    rules = PseudoMaskRules(
        background=background, min_object_px=0, refinement=refinement, **changes
    )
    return make_pseudo_mask(
        cam,
        (24, 40),
        np.array(labels),
        np.ones(3),
        _picture(22) if rgb is None else rgb,
        rules=rules,
    )


@pytest.mark.parametrize(
    ("refinement", "changes"),
    [("superpixels", {"superpixel_px": 30}), ("random-walker", {})],
)
def test_refined_pseudo_masks_follow_the_image(refinement, changes):
    plain, doubt = _tile("none")
    refined, refined_doubt = _tile(refinement, **changes)
    before, after = ((mask != _mask(22)).mean() for mask in (plain, refined))
    assert after < before / 2
    # Classes that are absent stay so, however strong their map is.
    assert set(np.unique(refined)) <= {1, 2, 255}
    assert 0 <= refined_doubt <= doubt


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("superpixel_px", 30, 400),
        ("superpixel_share", 0.5, 1.0),
        ("walker_seeds", 0.05, 0.95),
        ("walker_beta", 0.001, 1000.0),
    ],
)
def test_every_option_changes_the_mask(name, low, high):
    refinement = "superpixels" if name.startswith("super") else "random-walker"
    noisy = _picture(18, noise=25)
    first, _ = _tile(refinement, rgb=noisy, **{name: low})
    second, _ = _tile(refinement, rgb=noisy, **{name: high})
    assert (first != second).any()


@pytest.mark.parametrize("refinement", ["superpixels", "random-walker"])
def test_glass_stays_background_and_has_no_say(refinement):
    rgb = _picture(22)
    rgb[:, :12] = WHITE
    mask, _ = _tile(refinement, background="glass", rgb=rgb, superpixel_px=30)
    assert (mask[:, :12] == 0).all()
    assert not (mask[:, 12:] == 0).any()


@pytest.mark.parametrize("refinement", ["superpixels", "random-walker"])
def test_a_tile_of_one_class_is_not_refined(refinement):
    mask, doubt = _tile(refinement, labels=(0, 1, 0))
    assert (mask == 2).all()
    assert doubt == 0


@pytest.mark.parametrize("refinement", ["superpixels", "random-walker"])
def test_refining_needs_pixels(refinement):
    rules = PseudoMaskRules(background="none", refinement=refinement)
    cam, labels = np.zeros((2, 3, 3), np.float32), np.ones(2, int)
    with pytest.raises(ValueError, match="needs the rgb pixels"):
        make_pseudo_mask(cam, (6, 6), labels, np.ones(2), rules=rules)
