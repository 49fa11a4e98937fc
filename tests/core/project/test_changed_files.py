"""A file that is another one than when it was added is noticed."""

import os

import numpy as np
import pytest
from PIL import Image

from segmix_core.intake import add_paths
from segmix_core.project.changed_files import (
    changed_note,
    find_changed,
    find_missing,
    missing_note,
)
from segmix_core.project.records import Fingerprint
from segmix_core.project.store import ProjectStore

HOUR = 3600 * 10**9


def save(path, color):
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (32, 32), (color, color, color)).save(path, "BMP")


@pytest.fixture
def store(tmp_path):
    for number in range(5):
        save(tmp_path / "d" / f"{number}.bmp", number)
    with ProjectStore.create(tmp_path / "p.segmix", ["a", "b"]) as store:
        add_paths(store, [tmp_path / "d"])
        yield store


def touch(path):
    state = path.stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + HOUR))


def names(store):
    return [image.path.name for image in find_changed(store.images())]


def test_files_that_stay_as_they_are_are_not_read(store, monkeypatch):
    from pathlib import Path

    images = store.images()
    monkeypatch.setattr(Path, "open", None)
    assert find_changed(images) == ()


def test_a_touched_or_copied_file_is_no_other_one(store, tmp_path):
    for path in (tmp_path / "d").iterdir():
        touch(path)
    assert names(store) == []


def test_a_missing_file_has_not_changed(store, tmp_path):
    (tmp_path / "d" / "0.bmp").unlink()
    assert names(store) == []


def test_another_file_of_the_same_size_is_noticed_and_can_be_accepted(store, tmp_path):
    path = tmp_path / "d" / "2.bmp"
    save(path, 77)
    touch(path)
    assert names(store) == ["2.bmp"]
    (image,) = find_changed(store.images())
    store.accept_files(np.array([image.id]))
    assert names(store) == []
    assert store.undo("labels") is not None
    assert names(store) == ["2.bmp"]


def test_a_change_anywhere_in_a_smaller_file_is_noticed(tmp_path):
    path = tmp_path / "9.bmp"
    Image.new("RGB", (512, 512)).save(path)
    before = Fingerprint.of(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    touch(path)
    assert not before.matches(path)


@pytest.mark.parametrize("sample", range(16))
def test_sixteen_places_of_a_larger_file_are_compared(tmp_path, sample):
    size, edge = 40 * 2**20 + 7, 64 * 1024
    path = tmp_path / "slide.bin"
    with path.open("wb") as file:
        file.truncate(size)
    before = Fingerprint.of(path)
    touch(path)
    assert before.matches(path)
    with path.open("r+b") as file:
        file.seek(sample * (size - edge) // 15 + edge - 1)
        file.write(b"1")
    touch(path)
    assert not before.matches(path)


def test_the_sentence_names_three(store, tmp_path):
    for number in range(5):
        (tmp_path / "d" / f"{number}.bmp").write_bytes(b"other")
    changed = find_changed(store.images())
    assert changed_note(changed[:1]).startswith("0.bmp has changed on disk since it ")
    expected = "0.bmp, 1.bmp, 2.bmp and 2 more have changed on disk since they were"
    assert changed_note(changed).startswith(expected)


def test_missing_files_are_told(store):
    images = store.images()
    assert find_missing(images) == ()
    images[0].path.unlink()
    missing = find_missing(images)
    assert missing == images[:1]
    assert missing_note(missing).startswith("0.bmp is missing. Reconnect the disk, or")
    text = missing_note(images)
    assert text.startswith("0.bmp, 1.bmp, 2.bmp and 2 more are missing.")
