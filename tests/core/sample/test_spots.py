import numpy as np
import pytest

from segmix_core.sample.spots import Spots, draw_spots, join_spots


def spots(*rows):
    return Spots(*(np.array(column, np.float32) for column in zip(*rows, strict=True)))


def slow(table, size):
    """Draw one ellipse after the other, pixel by pixel."""
    canvas = np.zeros((size, size))
    for i in range(len(table)):
        for y, x in np.ndindex(size, size):
            dy, dx = y - table.y[i], x - table.x[i]
            cos, sin = np.cos(table.angle[i]), np.sin(table.angle[i])
            along = (dx * cos + dy * sin) / table.long[i]
            across = (dy * cos - dx * sin) / table.short[i]
            radius = np.hypot(along, across)
            inside = np.clip((1 - radius) * table.short[i] + 0.5, 0, 1)
            rim = 1 - table.rim[i] * max(1 - radius**3, 0)
            canvas[y, x] = max(canvas[y, x], inside * rim * table.strength[i])
    return canvas


def test_drawing_equals_the_slow_one():
    table = spots(
        (10, 12, 6, 3, 0.4, 1.0, 0.3),
        (13.3, 15.2, 4, 4, 0, 0.7, 0.0),
        (-1, 30, 5, 2, 1.2, 0.9, 0.1),
        (31, 31, 8, 3, 2.5, 1.2, 0.5),
    )
    np.testing.assert_allclose(draw_spots(table, 32), slow(table, 32), atol=1e-5)


def test_no_spots_draw_nothing_and_parts_join():
    one = spots((10, 12, 6, 3, 0.4, 1.0, 0.3))
    assert draw_spots(one.take(np.array([False])), 8).max() == 0
    both = join_spots([one, spots((1, 2, 3, 3, 0, 1, 0))])
    assert both.y.tolist() == [10, 1]
    assert both.rim.tolist() == [pytest.approx(0.3), 0]
