"""Names of image files."""

import pytest

from segmix_core.files import image_stem


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("x.ome.tif", "x"),
        ("X.OME.TIFF", "X"),
        ("a.b.ome.btf", "a.b"),
        ("a.b.png", "a.b"),
        ("x.ome", "x"),
        (".ome.tif", ".ome"),
        ("x.tif", "x"),
        ("x", "x"),
    ],
)
def test_image_stem(name, stem):
    assert image_stem(f"folder.ome.tif/{name}") == stem
