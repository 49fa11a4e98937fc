import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmix_core.inference.pseudo_masks import (
    classes_in_play,
    decide,
    make_pseudo_mask,
    normalize_cams,
    tile_doubt,
)
from segmix_core.inference.pseudo_rules import PseudoMaskRules

PLAIN = PseudoMaskRules(background="none", margin=0.0, min_object_px=0)


def _halves(shape=(4, 4), left=1.0, right=1.0):
    """Class 1 answers on the left, class 2 on the right, class 3 weakly everywhere."""
    cam = np.zeros((3, *shape), np.float32)
    cam[0, :, : shape[1] // 2] = left
    cam[1, :, shape[1] // 2 :] = right
    cam[2] = 0.1
    return cam


def _mask(
    cam, labels, probabilities=None, rgb=None, shape=None, stride=None, **changes
):
    rules = PseudoMaskRules(
        **{"background": "none", "margin": 0.0, "min_object_px": 0, **changes}
    )
    probabilities = np.zeros(len(labels)) if probabilities is None else probabilities
    return make_pseudo_mask(
        cam,
        shape or cam.shape[1:],
        np.array(labels),
        np.asarray(probabilities, float),
        rgb,
        rules=rules,
        stride=stride,
    )


def _reference_mask(cam, labels, probabilities, rules):
    """Slow twin at CAM resolution: a loop over pixels, no arrays."""
    height, width = cam.shape[1:]
    playing = [
        label == 1 or (label == -1 and probability >= rules.gate)
        for label, probability in zip(labels, probabilities, strict=True)
    ]
    if not any(playing):
        unknown = [c for c, label in enumerate(labels) if label == -1]
        if not unknown:
            return [[0] * width for _ in range(height)]
        playing[max(unknown, key=lambda c: probabilities[c])] = True
    classes = [c for c, plays in enumerate(playing) if plays]
    common = max(cam[c].max() for c in classes)
    mask = [[0] * width for _ in range(height)]
    for y in range(height):
        for x in range(width):
            entries = []
            if rules.background == "score":
                entries.append((rules.background_score, 0))
            for c in classes:
                top = common if rules.normalization == "joint" else cam[c].max()
                entries.append((cam[c, y, x] / top if top > 0 else 0.0, c + 1))
            best = max(entries, key=lambda entry: entry[0])
            others = [score for score, value in entries if value != best[1]]
            is_clear = not others or best[0] - max(others) >= rules.margin
            mask[y][x] = best[1] if is_clear else 255
    return mask


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    background=st.sampled_from(["none", "score"]),
    normalization=st.sampled_from(["joint", "class"]),
    margin=st.sampled_from([0.0, 0.13, 0.4]),
)
def test_masks_equal_the_slow_twin(seed, background, normalization, margin):
    rng = np.random.default_rng(seed)
    # Sixteenths, so that no lead lies within rounding of a margin.
    cam = rng.integers(0, 17, (3, 5, 4)).astype(np.float32) / 16
    labels, probabilities = rng.integers(-1, 2, 3), rng.random(3)
    rules = PseudoMaskRules(
        background=background,
        normalization=normalization,
        margin=margin + 1e-4,
        background_score=0.301,
        min_object_px=0,
    )
    mask, doubt = make_pseudo_mask(cam, (5, 4), labels, probabilities, rules=rules)
    assert mask.dtype == np.uint8
    assert mask.tolist() == _reference_mask(cam, labels, probabilities, rules)
    assert 0 <= doubt <= 1


@pytest.mark.parametrize(
    ("labels", "probabilities", "playing"),
    [
        ([1, 0, -1], [0.1, 0.9, 0.4], [True, False, False]),
        ([1, 0, -1], [0.1, 0.9, 0.5], [True, False, True]),
        ([-1, 0, -1], [0.1, 0.9, 0.3], [False, False, True]),
        ([-1, 0, -1], [0.0, 0.9, 0.0], [True, False, False]),
        ([0, 0, 0], [0.9, 0.9, 0.9], [False, False, False]),
    ],
)
def test_who_takes_part(labels, probabilities, playing):
    result = classes_in_play(np.array(labels), np.array(probabilities), 0.5)
    assert result.tolist() == playing


def test_absent_classes_never_appear():
    mask, _ = _mask(_halves(), [1, 0, 1])
    assert np.unique(mask).tolist() == [1, 3]


def test_gate_lets_probable_unknown_classes_in():
    probabilities = [0.9, 0.6, 0.1]
    strict, _ = _mask(_halves(), [1, -1, 0], probabilities, gate=0.7)
    open_, _ = _mask(_halves(), [1, -1, 0], probabilities, gate=0.5)
    assert np.unique(strict).tolist() == [1]
    assert open_.tolist() == [[1, 1, 2, 2]] * 4


def test_gates_may_differ_by_class():
    probabilities = [0.6, 0.6, 0.1]
    mask, _ = _mask(_halves(), [-1, -1, -1], probabilities, gate=(0.5, 0.7, 0.5))
    assert np.unique(mask).tolist() == [1]
    mask, _ = _mask(_halves(), [-1, -1, -1], probabilities, gate=(0.5, 0.6, 0.5))
    assert np.unique(mask).tolist() == [1, 2]
    with pytest.raises(ValueError, match="broadcast"):
        _mask(_halves(), [-1, -1, -1], probabilities, gate=(0.5, 0.7))


def test_all_absent_is_background_without_doubt():
    mask, doubt = _mask(_halves(), [0, 0, 0], [0.9, 0.9, 0.9])
    assert not mask.any()
    assert doubt == 0


def test_a_single_present_class_fills_the_tile():
    mask, doubt = _mask(_halves(), [0, 1, 0], margin=0.3)
    assert (mask == 2).all()
    assert doubt == 0


def test_a_single_predicted_class_is_doubtful_by_its_probability():
    _, doubt = _mask(_halves(), [0, -1, 0], [0, 0.8, 0], margin=0.3)
    assert doubt == pytest.approx(0.2)


def test_normalization_weighs_a_weak_class():
    cam = np.array([[[1.0, 0.3]], [[0.2, 0.2]]], np.float32)
    joint, _ = _mask(cam, [1, 1], normalization="joint")
    alone, _ = _mask(cam, [1, 1], normalization="class")
    assert joint.tolist() == [[1, 1]]
    assert alone.tolist() == [[1, 2]]


def test_normalize_keeps_silent_maps_silent():
    cam = np.zeros((2, 2, 2), np.float32)
    cam[0, 0, 0] = 4.0
    for how in ("class", "joint"):
        scaled = normalize_cams(cam, how)
        assert scaled.max() == 1
        assert not scaled[1].any()
    assert not normalize_cams(np.zeros((2, 2, 2)), "joint").any()


def test_background_score_competes():
    cam = np.array([[[1.0, 0.5, 0.1]]], np.float32)
    low, _ = _mask(cam, [1], background="score", background_score=0.3)
    high, _ = _mask(cam, [1], background="score", background_score=0.7)
    assert low.tolist() == [[1, 1, 0]]
    assert high.tolist() == [[1, 0, 0]]


def test_glass_is_background_even_where_undecided():
    rgb = np.full((12, 12, 3), (180, 90, 150), np.uint8)
    rgb[:, :6] = 243
    cam = np.ones((2, 12, 12), np.float32)
    mask, doubt = _mask(cam, [1, 1], rgb=rgb, background="glass", margin=0.05)
    assert (mask[:, :6] == 0).all()
    assert (mask[:, 6:] == 255).all()
    assert doubt == pytest.approx(0.5)


def test_margin_ignores_close_calls():
    cam = np.array([[[1.0, 0.52]], [[0.0, 0.5]]], np.float32)
    narrow, _ = _mask(cam, [1, 1], margin=0.01)
    wide, _ = _mask(cam, [1, 1], margin=0.05)
    assert narrow.tolist() == [[1, 1]]
    assert wide.tolist() == [[1, 255]]


def test_small_objects_rule_reaches_the_mask():
    cam = _halves((4, 8))
    cam[1, 0, 0] = 5
    for min_px, value in ((0, 2), (2, 255)):
        mask, _ = _mask(cam, [1, 1, 0], min_object_px=min_px)
        assert mask[0, 0] == value


def test_small_holes_rule_reaches_the_mask_before_the_objects_do():
    cam = np.zeros((2, 6, 6), np.float32)
    cam[0, 1:5, 1:5] = 1
    cam[1] = 0.5
    cam[0, 2:4, 2:4] = 0
    for options, values in (
        ({}, [2, 1, 2]),
        ({"min_hole_px": 4}, [2, 1, 2]),
        ({"min_hole_px": 5}, [2, 1, 1]),
        # Twelve pixels of ring alone would be too few.
        ({"min_hole_px": 5, "min_object_px": 14}, [2, 1, 1]),
        ({"min_object_px": 14}, [2, 255, 255]),
    ):
        mask, _ = _mask(cam, [1, 1], **options)
        assert [mask[0, 0], mask[1, 1], mask[2, 2]] == values


def test_decide_prefers_the_first_of_equals():
    scores = np.full((2, 1, 1), 0.5, np.float32)
    mask, lead = decide(scores, np.array([3, 1], np.uint8), 0.0)
    assert (mask.item(), lead.item()) == (3, 0)


def test_doubt_grows_with_narrow_leads_and_ignored_pixels():
    mask = np.array([[1, 1, 1, 255]], np.uint8)
    lead = np.array([[1.0, 0.5, 0.5, 1.0]], np.float32)
    assert tile_doubt(mask, lead) == pytest.approx((0 + 0.5 + 0.5 + 1) / 4)
    clear, _ = _mask(_halves(), [1, 1, 0])
    sharp = _mask(_halves(), [1, 1, 0])[1]
    blurred = _mask(_halves() + 0.5, [1, 1, 0])[1]
    assert clear.shape == (4, 4)
    assert sharp < blurred


def test_mask_has_the_size_of_the_tile_and_stride_cuts_padding():
    cam = np.zeros((2, 2, 3), np.float32)
    cam[0, :, :2] = 1
    cam[1, :, 2] = 1
    whole, _ = _mask(cam, [1, 1], shape=(10, 18))
    by_stride, _ = _mask(cam, [1, 1], shape=(10, 18), stride=8)
    assert whole.shape == by_stride.shape == (10, 18)
    assert np.flatnonzero(whole[0] == 2)[0] == 12
    assert np.flatnonzero(by_stride[0] == 2)[0] == 16


def test_thirty_classes():
    cam = np.eye(30, dtype=np.float32).reshape(30, 5, 6)
    mask, _ = _mask(cam, [1] * 30)
    assert mask.ravel().tolist() == list(range(1, 31))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"background": "white"}, "Unknown background"),
        ({"normalization": "max"}, "Unknown normalization"),
        ({"background_score": 1.1}, "background_score in 0..1"),
        ({"gate": -0.1}, "gate in 0..1"),
        ({"gate": (0.5, 1.1)}, "gate in 0..1"),
        ({"margin": 2.0}, "margin in 0..1"),
        ({"min_object_px": -1}, "min_object_px >= 0"),
        ({"min_hole_px": -1}, "min_hole_px >= 0"),
    ],
)
def test_rules_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        PseudoMaskRules(**options)


def test_wrong_shapes_are_refused():
    cam = np.zeros((2, 3, 3), np.float32)
    with pytest.raises(ValueError, match="labels and probabilities"):
        make_pseudo_mask(cam, (6, 6), np.ones(3, int), np.ones(3), rules=PLAIN)
    with pytest.raises(ValueError, match="Expected rgb of shape"):
        make_pseudo_mask(
            cam, (6, 6), np.ones(2, int), np.ones(2), np.zeros((5, 6, 3), np.uint8)
        )
    with pytest.raises(ValueError, match="needs the rgb pixels"):
        make_pseudo_mask(cam, (6, 6), np.ones(2, int), np.ones(2))
