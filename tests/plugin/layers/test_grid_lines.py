import numpy as np

from napari_segmix.layers.grid_lines import border_lines


def cells_drawn(lines: np.ndarray) -> set[tuple[float, float, float, float]]:
    """Cut lines into pieces of one cell: (y, x, dy, dx)."""
    pieces = set()
    for (y, x), (dy, dx) in lines:
        length = round(dy + dx)
        step = (dy / length, dx / length)
        pieces |= {(y + i * step[0], x + i * step[1], *step) for i in range(length)}
    return pieces


def slow_borders(occupied: np.ndarray) -> set[tuple[float, float, float, float]]:
    pieces = set()
    for y, x in zip(*np.nonzero(occupied), strict=True):
        pieces |= {(y, x, 0, 1), (y + 1, x, 0, 1), (y, x, 1, 0), (y, x + 1, 1, 0)}
    return pieces


def test_lines_are_the_borders_of_the_occupied_cells() -> None:
    occupied = np.random.default_rng(3).random((9, 12)) < 0.5
    assert cells_drawn(border_lines(occupied)) == slow_borders(occupied)


def test_a_full_grid_needs_one_line_a_border() -> None:
    assert len(border_lines(np.ones((200, 300), bool))) == 201 + 301


def test_nothing_occupied_has_no_lines() -> None:
    assert border_lines(np.zeros((3, 4), bool)).shape == (0, 2, 2)
