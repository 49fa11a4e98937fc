"""What exported files are called."""

import pytest

from segmix_core.export.names import export_name, export_names


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("x.tif", "x"),
        ("x.ome.tif", "x"),
        ("x.ome.png", "x"),
        ("x.OME.ome.tiff", "x"),
        ("a.b.svs", "a.b"),
        ("Drüse [1].png", "Drüse [1]"),
        ("a\x1b\n.png", "a__"),
        ("a\udcff.png", "a_"),
        ("a\ufffe\u202e.png", "a__"),
        ('a<>:"\\|?*.png', "a________"),
        (".hidden.png", "_hidden"),
        ("a..png", "a."),
        ("CON.tif", "CON_"),
        ("com1.x.tif", "com1.x_"),
        ("console.tif", "console"),
        (" .tif", " _"),
        ("ä" * 200 + ".tif", "ä" * 100),
        ("ä" * 99 + "xä.tif", "ä" * 99 + "x"),
    ],
)
def test_a_file_is_called_like_its_image(image, name):
    assert export_name(image) == name


def test_images_of_one_name_get_their_id():
    images = {1: "a.tif", 2: "A.png", 3: "b.tif", 4: "a\u0308.tif", 5: "ä.tif"}
    assert export_names(images.items()) == {
        1: "a_1",
        2: "A_2",
        3: "b",
        4: "a\u0308_4",
        5: "ä_5",
    }


def test_a_name_with_an_id_may_be_that_of_another_image():
    names = export_names({1: "a.tif", 3: "a.png", 2: "a_3.tif", 4: "a_3_2.tif"}.items())
    assert len(set(names.values())) == 4
    assert names == {1: "a_1", 3: "a_3_3", 2: "a_3_2_2", 4: "a_3_2_4"}


def test_long_names_of_one_beginning_differ():
    names = export_names({1: "x" * 240 + "a.tif", 2: "x" * 240 + "b.tif"}.items())
    assert names == {1: "x" * 200 + "_1", 2: "x" * 200 + "_2"}
