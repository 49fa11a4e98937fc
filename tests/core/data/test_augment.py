import numpy as np
import pytest
import torch

from segmix_core.data.augment import (
    apply_symmetry,
    draw_color_tables,
    draw_symmetries,
    look_up,
    plain_tables,
)


def test_symmetries_are_the_eight_of_the_square() -> None:
    square = np.arange(9).reshape(3, 3)
    views = {apply_symmetry(square, code).tobytes() for code in range(8)}
    assert len(views) == 8
    assert np.array_equal(apply_symmetry(square, 0), square)
    # A symmetry keeps neighbours: the centre stays, the corners are corners.
    for code in range(8):
        turned = apply_symmetry(square, code)
        assert turned[1, 1] == 4
        assert {int(turned[y, x]) for y in (0, 2) for x in (0, 2)} == {0, 2, 6, 8}


def test_image_and_mask_turn_alike() -> None:
    image = np.random.default_rng(0).integers(0, 255, (4, 6, 3), np.uint8)
    for code in range(8):
        turned = apply_symmetry(image, code)
        assert np.array_equal(turned[..., 0], apply_symmetry(image[..., 0], code))
        assert turned.shape[:2] == ((6, 4) if code % 2 else (4, 6))


def test_unknown_symmetry() -> None:
    with pytest.raises(ValueError, match=r"0\.\.7, got 8"):
        apply_symmetry(np.zeros((2, 2)), 8)


def test_draws_follow_the_generator() -> None:
    draws = [draw_symmetries(200, torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])
    assert set(draws[0]) == set(range(8))


def test_color_tables_keep_white_and_rise() -> None:
    tables = draw_color_tables(20, 0.3, torch.Generator().manual_seed(0))
    assert tables.shape == (20, 3, 256)
    assert tables.dtype == np.float32
    assert np.all(tables[..., 255] == 1)
    assert np.all(tables[..., 0] == 0)
    assert np.all(np.diff(tables, axis=-1) >= 0)
    assert np.abs(tables - plain_tables(20)).max() > 0.05


def test_no_strength_changes_no_color() -> None:
    tables = draw_color_tables(3, 0.0, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(tables, plain_tables(3), atol=1e-7)


def test_look_up_equals_a_loop_over_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 4, 3), np.uint8)
    table = draw_color_tables(1, 0.5, torch.Generator().manual_seed(3))[0]
    out = np.empty((3, 4, 3), np.float32)
    look_up(image, table, out)
    for y, x, c in np.ndindex(3, 4, 3):
        assert out[y, x, c] == table[c, image[y, x, c]]
