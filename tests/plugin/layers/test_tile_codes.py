import numpy as np

from napari_segmix.layers.tile_codes import BRUSH, UNLABELED, TileCodes
from segmix_core.project.records import TissueClass

CLASSES = (
    TissueClass(1, "gland", "#ff0000"),
    TissueClass(2, "stroma", "#0000ff"),
    TissueClass(3, "fat", "#00ff00"),
)


def test_codes_say_which_classes_are_present() -> None:
    codes = TileCodes(CLASSES)
    states = np.array(
        [[-1, -1, -1], [1, -1, 0], [0, 1, 0], [0, 0, -1], [1, 1, 0], [1, 1, 1]],
        np.int8,
    )
    values = codes.encode(states)
    assert values[:4].tolist() == [UNLABELED, 1, 2, 4]
    assert [codes.decode(int(v)) for v in values[1:]] == [
        (1,),
        (2,),
        (),
        (1, 2),
        (1, 2, 3),
    ]


def test_a_set_keeps_its_code() -> None:
    codes = TileCodes(CLASSES)
    first = codes.encode(np.array([[1, 1, 0]], np.int8))
    codes.encode(np.array([[0, 1, 1], [1, 0, 1]], np.int8))
    assert codes.encode(np.array([[1, 1, -1]], np.int8)) == first


def test_numbers_without_a_meaning_are_not_decoded() -> None:
    codes = TileCodes(CLASSES)
    assert codes.decode(UNLABELED) is None
    assert codes.decode(BRUSH) is None
    assert codes.decode(99) is None


def test_several_classes_blend_and_are_named() -> None:
    codes = TileCodes(CLASSES)
    code = int(codes.encode(np.array([[1, 1, 0]], np.int8))[0])
    assert codes.colors()[code] == (0.5, 0.0, 0.5, 1.0)
    assert codes.colors()[UNLABELED][3] == 0
    assert codes.names()[code] == "gland + stroma"
    assert codes.names()[4] == "none of the classes"


def test_without_classes_or_tiles() -> None:
    assert TileCodes(()).encode(np.zeros((0, 0), np.int8)).shape == (0,)
    assert TileCodes(()).encode(np.zeros((2, 0), np.int8)).tolist() == [0, 0]
