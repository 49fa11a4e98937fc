import numpy as np
import pytest

from segmix_core.slides import group_stains
from segmix_core.slides.group_stains import GroupStains
from segmix_core.slides.stain import (
    StainNormalizer,
    find_tissue_colors,
    measure_stain,
)


def tissue(mean, edge=224, seed=0):
    pixels = np.random.default_rng(seed).normal(mean, 20, (edge, edge, 3))
    return pixels.clip(0, 214).astype(np.uint8)


def normalized(image, *, by):
    return StainNormalizer(measure_stain([find_tissue_colors(i) for i in by]))(image)


def stains(images, groups, *, tile_px=None):
    """Stains of images by name; and the names, in the order they are looked at."""
    looked = []

    def look(name):
        looked.append(name)
        return images[name]

    areas = {name: image.shape[0] * image.shape[1] for name, image in images.items()}
    tiles = dict.fromkeys(areas, tile_px**2) if tile_px else areas
    return GroupStains(groups, areas, tiles, look), looked


def test_images_of_a_group_have_a_stain_in_common():
    images = {name: tissue(80 + 10 * i, seed=i) for i, name in enumerate("abcd")}
    found, looked = stains(images, {"a": "x", "b": "y", "c": "x", "d": "y"})
    for _ in range(2):
        for name, group in [("a", "ac"), ("c", "ac"), ("d", "bd")]:
            expected = normalized(images[name], by=[images[n] for n in group])
            np.testing.assert_array_equal(found.of(name)(images[name]), expected)
    assert looked == list("acbd")


def test_a_slide_has_a_stain_of_its_own():
    images = {1: tissue(90, edge=560), 2: tissue(140, edge=560)}
    found, looked = stains(images, {1: "one", 2: "two"})
    expected = normalized(images[1], by=[images[1]])
    np.testing.assert_array_equal(found.of(1)(images[1]), expected)
    assert looked == [1]


def test_slides_of_a_case_were_stained_one_by_one():
    images = {i: tissue(80 + 20 * i, edge=224, seed=i) for i in range(3)}
    groups = dict.fromkeys(images, "case")
    found, looked = stains(images, groups, tile_px=64)
    for index, image in images.items():
        expected = normalized(image, by=[image])
        np.testing.assert_array_equal(found.of(index)(image), expected)
    assert looked == [0, 1, 2]


def test_an_image_of_few_tiles_is_no_slide():
    images = {i: tissue(80 + 20 * i, edge=224, seed=i) for i in range(3)}
    found, _ = stains(images, dict.fromkeys(images, "case"), tile_px=80)
    expected = normalized(images[1], by=list(images.values()))
    np.testing.assert_array_equal(found.of(1)(images[1]), expected)


def test_a_small_image_of_small_tiles_is_no_slide():
    images = {i: tissue(80 + 20 * i, edge=140, seed=i) for i in range(3)}
    found, _ = stains(images, {i: f"tile {i}" for i in images}, tile_px=8)
    assert found.of(1)(images[1]) is images[1]


def test_a_single_tile_has_the_stain_of_all():
    images = {i: tissue(80 + 20 * i, seed=i) for i in range(4)}
    found, looked = stains(images, {0: "case", 1: "case", 2: "tile", 3: "other"})
    for index in (2, 3):
        expected = normalized(images[index], by=list(images.values()))
        np.testing.assert_array_equal(found.of(index)(images[index]), expected)
    assert looked == [0, 1, 2, 3]


def test_tiles_without_slide_or_case_keep_their_colors():
    images = {i: tissue(80 + 20 * i, seed=i) for i in range(4)}
    found, looked = stains(images, {i: f"tile {i}" for i in images})
    for index, image in images.items():
        assert found.of(index)(image) is image
    assert looked == []


def test_next_to_no_tissue_keeps_its_colors():
    image = np.full((560, 560, 3), 240, np.uint8)
    image[:90, :90] = tissue(90, edge=90)
    found, _ = stains({1: image, 2: image}, {1: "a", 2: "b"})
    np.testing.assert_array_equal(found.of(1)(image), image)


def test_unreadable_images_tell_nothing():
    images = {1: tissue(90), 2: tissue(120), 3: tissue(100)}
    areas = dict.fromkeys(images, 224 * 224)
    readable = {**images, 3: None}
    found = GroupStains(dict.fromkeys(images, "case"), areas, areas, readable.get)
    expected = normalized(images[1], by=[images[1], images[2]])
    np.testing.assert_array_equal(found.of(1)(images[1]), expected)


def test_groups_without_tissue_have_the_stain_of_all():
    blank = np.full((224, 224, 3), 240, np.uint8)
    images = {1: blank, 2: blank, 3: tissue(90), 4: tissue(100)}
    found, _ = stains(images, {1: "a", 2: "a", 3: "b", 4: "b"})
    expected = normalized(images[1], by=list(images.values()))
    np.testing.assert_array_equal(found.of(1)(images[1]), expected)


@pytest.mark.parametrize(("count", "looks"), [(5, 5), (16, 16), (200, 16)])
def test_of_many_images_some_are_looked_at(count, looks):
    image = tissue(90)
    found, looked = stains(
        dict.fromkeys(range(count), image), dict.fromkeys(range(count), "g")
    )
    found.of(0)
    assert len(set(looked)) == looks
    assert looked[0] == 0
    assert looked[-1] >= count - count / 16 - 1


def test_of_all_images_some_are_looked_at(monkeypatch):
    monkeypatch.setattr(group_stains, "_OF_ALL", 8)
    keys = range(100)
    # The first two are a case, the others tiles.
    groups = {key: str(max(key, 1)) for key in keys}
    found, looked = stains(dict.fromkeys(keys, tissue(90)), groups)
    found.of(50)
    assert looked == [0, 12, 25, 37, 50, 62, 75, 87]


def test_what_was_measured_is_not_measured_again():
    images = {1: tissue(90), 2: tissue(100), 3: tissue(140)}
    found, _ = stains(images, {1: "case", 2: "case", 3: "tile"})
    before = {key: found.of(key)(images[key]) for key in images}
    areas = dict.fromkeys([*images, 4], 224 * 224)
    groups = {1: "case", 2: "case", 3: "tile", 4: "new"}
    again = GroupStains(
        groups, areas, areas, lambda key: None, measured=found.measured()
    )
    for key, pixels in before.items():
        np.testing.assert_array_equal(again.of(key)(images[key]), pixels)
    # A new tile has what the others had in common.
    np.testing.assert_array_equal(again.of(4)(images[3]), before[3])


def test_typical_images_tell_what_all_have_in_common():
    images = {1: tissue(90), 2: tissue(100), 3: tissue(140)}
    areas = dict.fromkeys(images, 224 * 224)
    groups = {1: "case", 2: "case", 3: "tile"}
    found = GroupStains(groups, areas, areas, images.get, typical=[2])
    expected = normalized(images[3], by=[images[2]])
    np.testing.assert_array_equal(found.of(3)(images[3]), expected)


def test_small_groups_are_as_good_as_none():
    images = {key: tissue(90, edge=64) for key in range(8)}
    found, looked = stains(images, {key: str(key // 2) for key in images})
    assert found.of(3)(images[3]) is images[3]
    assert looked == []
