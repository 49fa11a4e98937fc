"""Which image or class a name means."""

import unicodedata
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from segmix_core.project.matching import (
    ClassMatcher,
    PathMatcher,
    class_key,
    path_parts,
    shortest_paths,
)
from segmix_core.project.records import TissueClass
from tests.reference import matching as reference

FILES = [
    "/data/tumor/000.png",
    "/data/tumor/001.png",
    "/data/normal/001.png",
    "/data/normal/slide.ome.tif",
    "/data/normal/A.PNG",
    "/data/normal/a.png",
    "/data/tile_1.png",
    "/data/tile_1.5.png",
    "/data/" + unicodedata.normalize("NFD", "Präparat é.svs"),
]


def matcher(paths=FILES):
    return PathMatcher((PurePosixPath(path), path) for path in paths)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("000.png", 0),
        ("tumor/000.png", 0),
        ("./tumor/../tumor/000.png", 0),
        ("D:\\data\\tumor\\000.png", 0),
        ("D:\\tumor\\000.png", 0),
        ("\\\\server\\share\\tumor\\000.png", 0),
        ("/data/tumor/000.png", 0),
        ("  000.png ", 0),
        ("000", 0),
        ("000.jpg", 0),
        ("TUMOR/000.PNG", 0),
        ("tumor/001.png", 1),
        ("normal/001", 2),
        ("slide", 3),
        ("slide.tif", 3),
        ("slide.png", 3),
        ("slide.ome", 3),
        ("slide.ome.tiff", 3),
        ("A.PNG", 4),
        ("a.png", 5),
        ("tile_1", 6),
        ("tile_1.5", 7),
        ("tile_1.5.tif", 7),
        ("Präparat é.svs", 8),
        ("präparat É", 8),
    ],
)
def test_one_image(text, place):
    assert matcher().find(text).item == FILES[place]


@pytest.mark.parametrize(
    ("text", "candidates"),
    [
        ("001.png", "tumor/001.png or normal/001.png"),
        ("001", "tumor/001.png or normal/001.png"),
        ("a", "normal/A.PNG or normal/a.png"),
        ("a.PNG", "normal/A.PNG or normal/a.png"),
    ],
)
def test_several_images(text, candidates):
    match = matcher().find(text)
    assert match.item is None
    assert match.is_ambiguous
    found = [PurePosixPath(path) for path in match.candidates]
    assert shortest_paths(found) == candidates


@pytest.mark.parametrize(
    "text",
    ["normal/000.png", "/other/data/normal/000", "D:\\study\\normal\\000.png"],
)
def test_a_path_that_contradicts_is_no_match(text):
    match = matcher().find(text)
    assert (match.item, match.is_ambiguous) == (None, False)
    assert match.candidates == (FILES[0],)


@pytest.mark.parametrize("text", ["", "/", "..", ".", "tile_1.7", "00.png", "0000"])
def test_other_names_match_nothing(text):
    match = matcher().find(text)
    assert (match.item, match.candidates) == (None, ())


def test_the_whole_path_comes_first():
    paths = ["/a/x.png", "/backup/a/x.png"]
    assert matcher(paths).find("/a/x.png").item == "/a/x.png"
    assert matcher(paths).find("backup/a/x.png").item == "/backup/a/x.png"
    assert matcher(paths).find("x.png").is_ambiguous


def test_candidates_are_shown_by_what_tells_them_apart():
    paths = [PurePosixPath(f"/{top}/s/x.png") for top in "abcd"]
    assert shortest_paths(paths) == "a/s/x.png or b/s/x.png or c/s/x.png or ..."
    assert shortest_paths([PurePosixPath("/x.png")]) == "/x.png"
    assert shortest_paths([]) == ""


PARTS = st.sampled_from(
    ["a", "A", "b", "a.png", "A.PNG", "a.tif", "a.ome.tif", "a.1", "é", "e\u0301"]
)
PATHS = st.lists(PARTS, min_size=1, max_size=3).map(lambda p: "/" + "/".join(p))
TEXTS = st.builds(
    lambda root, parts, sign: root + sign.join(parts),
    st.sampled_from(["", "/", "./", "C:/", "c:\\", "//server/share/", "../"]),
    st.lists(PARTS | st.sampled_from(["..", "."]), min_size=1, max_size=3),
    st.sampled_from("/\\"),
)


@given(TEXTS | st.text(max_size=9), st.lists(PATHS, max_size=6))
@example("//a/b", ["/a"])
@example("a.ome.tif", ["/b/A.tif", "/a.1"])
def test_the_rule(text, paths):
    match = PathMatcher((Path(p), i) for i, p in enumerate(paths)).find(text)
    expected, _step = reference.find(text, [str(Path(p)) for p in paths])
    if len(expected) == 1:
        assert match.item == expected[0]
    else:
        assert match.item is None
        assert match.is_ambiguous == bool(expected)
        if expected:
            assert sorted(match.candidates) == expected


@given(st.text(max_size=20))
def test_every_text_has_parts(text):
    for part in path_parts(text):
        assert part
        assert "/" not in part


def classes(*names):
    return ClassMatcher([TissueClass(i, n, "#000000") for i, n in enumerate(names, 1)])


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("CD8+", 0),
        ("cd8-", 1),
        ("T-cell", 2),
        ("t cell", 3),
        ("T_Cell", 3),
        ("pd-l1 <1%", 4),
        ("PD-L1_>1%", 5),
        ("e\u0301pith\u00e9lium", 6),
    ],
)
def test_one_class(text, column):
    names = ("CD8+", "CD8-", "T-cell", "T cell", "PD-L1 <1%", "PD-L1 >1%", "Épithélium")
    assert classes(*names).find(text).item == column


def test_other_signs_are_told():
    match = classes("CD8+", "T-cell", "T.cell").find("t_cell")
    assert (match.item, match.candidates, match.is_ambiguous) == (None, (1, 2), False)
    assert classes("CD8+").find("CD8").item is None
    assert classes("CD8+").find("CD4+").candidates == ()


def test_names_of_old_projects_may_be_alike():
    found = classes("T cell", "T_cell")
    assert found.find("t cell").item == 0
    assert found.find("t_cell").item == 1
    assert found.find("T  cell").candidates == (0, 1)
    assert found.find("T  cell").is_ambiguous


SIGNS = st.text(st.sampled_from("aB1 _-+<é\u0301"), min_size=1, max_size=5)


@given(st.lists(SIGNS, max_size=5, unique_by=class_key), SIGNS)
def test_the_rule_of_classes(names, text):
    found = classes(*names)
    for column, name in enumerate(names):
        assert found.find(name).item == column
    item = found.find(text).item
    assert item is None or class_key(names[item]) == class_key(text)
    assert (item is None) == (class_key(text) not in {class_key(n) for n in names})
