import numpy as np
import torch

from segmix_core.data.color_tables import (
    draw_color_tables,
    look_up,
    plain_tables,
)


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
