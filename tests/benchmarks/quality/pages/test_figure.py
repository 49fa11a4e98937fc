import re
from xml.etree import ElementTree

import pytest

from benchmarks.quality.pages.figure import Axis, svg_figure
from benchmarks.quality.pages.results import Results

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def picture(docs):
    results = Results.read(docs / "results" / "tissue.json", "test")
    return ElementTree.fromstring(svg_figure(results))


@pytest.mark.parametrize(
    ("values", "ends"),
    [([0.45, 0.81], (0.4, 0.9)), ([0.0, 1.0], (0, 1)), ([0.5], (0.4, 0.6))],
)
def test_an_axis_ends_at_round_numbers_beyond_the_values(values, ends):
    axis = Axis(values)
    assert (axis.low, axis.high) == ends
    assert (axis.ticks()[0], axis.ticks()[-1]) == ends
    assert axis.place(axis.low) < axis.place(axis.high)


def test_every_training_is_a_mark_at_its_score(picture):
    axis = Axis([0.3, 0.9])
    dots = [float(dot.get("cx")) for dot in picture.iter(f"{SVG}circle")]
    # The first explains what a dot is.
    expected = [axis.place(value) for value in (0.75, 0.70, 0.70, 0.72, 0.80, 0.82)]
    assert dots[1:] == pytest.approx(expected, abs=0.06)
    corners = [mark.get("points") for mark in picture.iter(f"{SVG}polygon")]
    centers = [float(re.findall(r"[\d.]+", points)[2]) for points in corners]
    expected = [axis.place(value) for value in (0.65, 0.75, 0.60, 0.70, 0.80, 0.90)]
    assert centers[1:] == pytest.approx(expected, abs=0.06)


def test_everything_is_named_and_inside(picture):
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert texts.index("SegMix (er_weight=0, scales=[1,2])") < texts.index("CAM")
    assert "disc & <ring> (learns nothing)" in texts
    assert "Mean IoU on 2 test images" in texts
    width, height = (float(picture.get(side)) for side in ("width", "height"))
    for text in picture.iter(f"{SVG}text"):
        assert 0 <= float(text.get("x")) <= width
        assert 0 <= float(text.get("y")) <= height
