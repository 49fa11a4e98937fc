"""One image is added once, by whatever path it is chosen."""

import os
import shutil
import struct
import subprocess
import sys

import pytest
from PIL import Image

from segmix_core.errors import ProjectError
from segmix_core.intake import add_paths
from segmix_core.intake.add import add_choice
from segmix_core.intake.choice import Choice
from segmix_core.intake.known_images import KnownImages
from segmix_core.intake.options import IntakeOptions
from segmix_core.project.records import Fingerprint
from segmix_core.project.store import ProjectStore
from segmix_core.slides.first_look import FirstLook
from tests.core.intake.images import save_image, save_slide


def names(store):
    return [image.path.name for image in store.images()]


def test_another_spelling_of_a_path_is_the_same_image(tmp_path, store, monkeypatch):
    path = save_image(tmp_path / "d" / "a.png")
    monkeypatch.chdir(tmp_path)
    report = add_paths(store, [path, "d/a.png", tmp_path / "d" / ".." / "d" / "a.png"])
    assert (names(store), report.left_out) == (["a.png"], ())
    with pytest.raises(ProjectError, match=r"a\.png is already in the project"):
        add_paths(store, ["d/../d/a.png"])


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_is_the_same_image(tmp_path, store, link):
    path = save_slide(tmp_path / "slide.tif")
    folder = tmp_path / "d"
    save_image(folder / "tile.png")
    link(path, folder / "other name.tif")
    report = add_paths(store, [path, folder])
    assert names(store) == ["slide.tif", "tile.png"]
    (entry,) = report.left_out
    assert "other name.tif is the same image as slide.tif" in str(entry.error)
    save_image(tmp_path / "e" / "tile 2.png", (32, 32))
    link(path, tmp_path / "e" / "third.tif")
    report = add_paths(store, [tmp_path / "e"])
    assert names(store)[2:] == ["tile 2.png"]
    assert report.left_out[0].path.name == "third.tif"


def test_two_files_of_one_content_are_two_images(tmp_path, store):
    save_image(tmp_path / "d" / "a.png")
    save_image(tmp_path / "d" / "b.png")
    save_image(tmp_path / "e" / "a.png")
    report = add_paths(store, [tmp_path / "d", tmp_path / "e"])
    assert (len(names(store)), report.left_out) == (3, ())


def test_a_copy_of_a_slide_is_added_and_named(tmp_path, store):
    path = save_slide(tmp_path / "s.tif")
    shutil.copy(path, tmp_path / "t.tif")
    (tmp_path / "d").mkdir()
    shutil.copy(path, tmp_path / "d" / "s.tif")
    other = save_slide(tmp_path / "u.tif", fill=(200, 100, 150))
    (note,) = add_paths(store, [path, tmp_path / "t.tif", other]).notes
    assert note.startswith("t.tif: it seems to be a copy of s.tif, which")
    (note,) = add_paths(store, [tmp_path / "d" / "s.tif"]).notes
    assert f"a copy of {tmp_path.name}/s.tif" in note
    assert len(store.images()) == 4


def test_an_image_without_fingerprint_is_known_by_its_path_and_links(tmp_path):
    path = save_image(tmp_path / "a.png")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.png").symlink_to(path)
    known, left_out = KnownImages(), []
    assert known.take(path, None, left_out)
    assert not known.take(path, Fingerprint.of(path), left_out)
    link = tmp_path / "d" / "a.png"
    assert not known.take(link, Fingerprint.of(link), left_out)
    assert known.take(tmp_path / "gone" / "a.png", None, left_out)


def save_dicom(path, series):
    uid = series.encode() + b"\0" * (len(series) % 2)
    element = struct.pack("<HH2sH", 0x20, 0xE, b"UI", len(uid)) + uid
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"\0" * 128 + b"DICM" + element)
    return path


def test_files_of_a_dicom_slide_are_one_image(tmp_path):
    first, second = (save_dicom(tmp_path / f"{n}.dcm", "1.2.3") for n in (1, 2))
    other = save_dicom(tmp_path / "3.dcm", "1.2.4")
    copy = save_dicom(tmp_path / "copy" / "1.dcm", "1.2.3")
    known, left_out = KnownImages(), []
    taken = [
        known.take(path, Fingerprint.of(path), left_out)
        for path in (first, second, other, copy)
    ]
    assert taken == [True, False, True, True]
    assert "2.dcm is the same image as 1.dcm" in str(left_out[0].error)
    again = save_dicom(tmp_path / "again" / "other name.dcm", "1.2.3")
    assert known.find_copy(again, None) == first
    assert known.find_copy(other.with_name("none.dcm"), None) is None


def test_what_another_program_added_meanwhile_is_not_added_twice(tmp_path, store):
    path = save_image(tmp_path / "d" / "a.png")
    slide = save_slide(tmp_path / "s.tif")
    save_image(tmp_path / "d" / "b.png")
    options = IntakeOptions()
    with FirstLook() as look:
        choice = Choice(look, options, KnownImages(store.images()))
        choice.take([tmp_path / "d", slide])
    with ProjectStore.open(store.path) as other:
        add_paths(other, [path, slide])
    report = add_choice(store, choice, options)
    assert sorted(names(store)) == ["a.png", "b.png", "s.tif"]
    assert [entry.path.name for entry in report.left_out] == ["a.png", "s.tif"]


ADDS_AND_DIES = """
import os, sys
from segmix_core.intake import add_paths
from segmix_core.project.store import ProjectStore

class Dying(ProjectStore):
    def add_source(self, *values):
        source = super().add_source(*values)
        if len(self.sources()) == 2:
            os._exit(9)
        return source

with Dying.open(sys.argv[1]) as store:
    add_paths(store, sys.argv[2:])
"""


def test_a_crash_while_adding_leaves_nothing_half_added(tmp_path, store):
    folders = [save_image(tmp_path / name / "a.png").parent for name in "de"]
    command = [sys.executable, "-c", ADDS_AND_DIES, store.path, *folders]
    assert subprocess.run(command).returncode == 9
    assert (store.sources(), store.images()) == ((), ())
    add_paths(store, folders)
    assert len(store.sources()) == 2


def test_one_step_of_undo_a_source(tmp_path, store):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    add_paths(store, [tmp_path / "a.png"])
    assert store.undo("labels") is not None
    assert store.images() == ()
    add_paths(store, [tmp_path / "a.png"])
    assert names(store) == ["a.png"]
