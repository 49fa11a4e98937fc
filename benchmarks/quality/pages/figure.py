"""The figure of a file of results: a dot a training, as SVG."""

from collections.abc import Iterator, Sequence
from math import ceil, floor
from statistics import mean
from xml.sax.saxutils import escape

from benchmarks.quality.pages.results import Line, Results, Row, title_of, values_of

WIDTH, LEFT, RIGHT, TOP, ROW = 760, 250, 24, 56, 26
FOOT = 46
"""Pixels: width of the picture, its margins, height of a row and of the axis."""
MASKS, SEGMENTER, TRIVIAL, GRID = "#0072b2", "#d55e00", "#555555", "#dddddd"
"""Two colors that everybody can tell apart (Okabe and Ito), and grays."""


class Axis:
    """Mean IoU from left to right, between round numbers around all values.

    Parameters
    ----------
    values
        What has to be seen, in 0..1.
    """

    def __init__(self, values: Sequence[float]) -> None:
        # A mark at the edge of the picture would be cut, but scores end at 0 and 1.
        self.low = max(0, floor(10 * min(values) - 0.2) / 10)
        self.high = min(1, ceil(10 * max(values) + 0.2) / 10)

    def place(self, value: float) -> float:
        """Return the pixels from the left edge of the picture."""
        share = (value - self.low) / (self.high - self.low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def ticks(self) -> list[float]:
        """Return every tenth."""
        first, last = round(10 * self.low), round(10 * self.high)
        return [tenth / 10 for tenth in range(first, last + 1)]


def svg_figure(results: Results) -> str:
    """Return the mean IoU of every training, a row a method, as in the table.

    Dots are pseudo masks, diamonds the segmenters that learned from them; a bar is the
    mean of the seeds, the dashed line the best predictor that learns nothing.
    """
    lines, trivial = results.lines, results.trivial
    axis = Axis(
        [value for line in lines for value in _all(line)] + values_of([trivial])
    )
    height = TOP + ROW * len(lines) + FOOT
    bottom = height - FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" font-size="13" '
        'font-family="Helvetica, Arial, sans-serif">',
        f"<title>Mean IoU by method on {results.images}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        *_legend(),
        *_grid(axis, bottom),
        *_trivial(axis.place(trivial["mean_iou"]), bottom, trivial["method"]),
    ]
    for number, line in enumerate(lines):
        parts += _row(line, axis, TOP + ROW * (number + 0.5))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(_text(middle, height - 8, f"Mean IoU on {results.images}", "middle"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _all(line: Line) -> list[float]:
    return values_of([*line.maps, *line.segmenter])


def _legend() -> Iterator[str]:
    yield _dot(LEFT + 6, 16)
    yield _text(LEFT + 16, 20, "pseudo masks, one per seed")
    yield _diamond(LEFT + 206, 16)
    yield _text(LEFT + 216, 20, "segmenter, one per seed")
    yield _bar(LEFT + 380, 16, "black")
    yield _text(LEFT + 388, 20, "mean")


def _grid(axis: Axis, bottom: float) -> Iterator[str]:
    for tick in axis.ticks():
        x = axis.place(tick)
        yield _vertical(x, TOP, bottom, f'stroke="{GRID}"')
        yield _text(x, bottom + 18, f"{tick:.1f}", "middle")


def _trivial(x: float, bottom: float, method: str) -> Iterator[str]:
    yield _vertical(x, TOP - 6, bottom, f'stroke="{TRIVIAL}" stroke-dasharray="5 4"')
    # The text stays inside, whichever side of the picture the line is on.
    anchor = "start" if x < (LEFT + WIDTH) / 2 else "end"
    yield _text(x, TOP - 12, f"{method} (learns nothing)", anchor, TRIVIAL)


def _row(line: Line, axis: Axis, y: float) -> Iterator[str]:
    yield _text(LEFT - 12, y + 4, title_of(line.method), "end")
    above, below = y - 4.5, y + 4.5
    yield from _marks(line.maps, axis, above, MASKS)
    yield from _marks(line.segmenter, axis, below, SEGMENTER)


def _marks(rows: Sequence[Row], axis: Axis, y: float, color: str) -> Iterator[str]:
    draw = _dot if color == MASKS else _diamond
    places = [axis.place(value) for value in values_of(rows)]
    yield from (draw(x, y) for x in places)
    if places:
        yield _bar(mean(places), y, color)


def _dot(x: float, y: float) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{MASKS}" opacity="0.6"/>'


def _diamond(x: float, y: float) -> str:
    corners = ((x - 4.5, y), (x, y - 4.5), (x + 4.5, y), (x, y + 4.5))
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in corners)
    return f'<polygon points="{points}" fill="{SEGMENTER}" opacity="0.6"/>'


def _bar(x: float, y: float, color: str) -> str:
    return _vertical(x, y - 6, y + 6, f'stroke="{color}" stroke-width="2.5"')


def _vertical(x: float, top: float, bottom: float, style: str) -> str:
    return f'<path d="M{x:.1f} {top:.1f}V{bottom:.1f}" {style}/>'


def _text(
    x: float, y: float, text: str, anchor: str = "start", color: str = "black"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">'
        f"{escape(text)}</text>"
    )
