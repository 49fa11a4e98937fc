"""Whatever a file is called, it is added and stays usable, or a sentence refuses it."""

import os
import sys

import pytest

from segmix_core.errors import SlideError
from segmix_core.intake import add_paths
from segmix_core.project.store import ProjectStore
from tests.core.intake.images import save_image

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
NOT_UTF8 = os.fsdecode(b"caf\xe9")


@POSIX
@pytest.mark.parametrize(
    ("name", "what"),
    [
        (f"{NOT_UTF8}.png", "not valid UTF-8"),
        ("a\nb.png", "control characters"),
        ("a\x1b[31m.png", "control characters"),
        ("a\x7f.png", "control characters"),
        ("a\x85b.png", "control characters"),
    ],
)
def test_names_that_would_break_something_later_are_refused(
    tmp_path, store, name, what
):
    try:
        bad = save_image(tmp_path / "d" / name)
    except OSError:
        pytest.skip("the file system does not allow such a name")
    with pytest.raises(SlideError, match=what) as found:
        add_paths(store, [bad])
    assert str(found.value).isprintable()
    save_image(tmp_path / "d" / "good.png")
    report = add_paths(store, [tmp_path / "d"])
    assert [image.path.name for image in store.images()] == ["good.png"]
    assert [entry.path for entry in report.left_out] == [bad]
    assert all(note.isprintable() for note in report.notes)


@POSIX
@pytest.mark.parametrize(
    "name",
    [
        "dot.",
        "dot..png",
        "space .png",
        " .png",
        "a.png ",
        "a" * 236,
        "[b]{c}%s'\".png",
    ],
)
def test_odd_names_are_kept(tmp_path, store, name):
    source = save_image(tmp_path / "t.png")
    path = source.rename(tmp_path / name)
    add_paths(store, [path])
    with ProjectStore.open(store.path) as again:
        (image,) = again.images()
    assert (image.path, image.path.is_file()) == (path, True)


@POSIX
def test_a_folder_whose_name_is_not_utf8_is_refused(tmp_path, store):
    path = save_image(tmp_path / NOT_UTF8 / "a.png")
    for chosen in (path, path.parent):
        with pytest.raises(SlideError, match="is not valid UTF-8"):
            add_paths(store, [chosen])
