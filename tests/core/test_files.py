"""Files that are whole or not there, JSON of other people, names of images."""

import errno
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from segmix_core import files
from segmix_core.files import (
    JsonError,
    image_stem,
    open_regular,
    parse_json,
    printable,
    read_json,
    remove_leftovers,
    temporary_folder,
    temporary_name,
    write_atomically,
    write_json,
)


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


KILLED = """
import sys
from pathlib import Path
from segmix_core.files import write_atomically

def write(file):
    file.write(b"half")
    print("writing", flush=True)
    sys.stdin.read()

write_atomically(Path(sys.argv[1]), write)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_next_write_removes_what_killed_processes_left(tmp_path):
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path / f"{n}.tif")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for n in range(2)
    ]
    for writer in writers:
        writer.stdout.readline()
    assert len(names(tmp_path)) == 2
    writers[0].kill()
    writers[0].wait()
    write_json(tmp_path / "next.json", 1)
    # That of the one that still writes stays.
    assert len(names(tmp_path)) == 2
    writers[1].communicate()
    assert names(tmp_path) == ["1.tif", "next.json"]
    writers[0].stdin.close()
    writers[0].stdout.close()


def test_a_file_of_a_later_process_of_the_same_number_is_told_apart(tmp_path):
    own = temporary_name()
    parts = own.split("-")
    parts[4] = str(int(parts[4]) + 5000)
    for name in (own, "-".join(parts)):
        (tmp_path / name).touch()
    write_json(tmp_path / "a.json", 1)
    assert names(tmp_path) == sorted([own, "a.json"])


MAKES_FOLDER = """
import sys
from segmix_core.files import temporary_folder

with temporary_folder() as folder:
    (folder / "copy").write_bytes(b"large")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_the_next_temporary_folder_removes_those_of_killed_processes(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    made = [
        subprocess.Popen(
            [sys.executable, "-c", MAKES_FOLDER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    killed, alive = (Path(process.stdout.readline().strip()) for process in made)
    made[0].kill()
    made[0].wait()
    assert {killed.parent, alive.parent} == {tmp_path}
    assert (killed / "copy").exists()
    with temporary_folder() as own:
        assert sorted(tmp_path.iterdir()) == sorted([alive, own])
        assert own.stat().st_mode & 0o077 == 0 or sys.platform == "win32"
    made[1].communicate()
    assert names(tmp_path) == []
    made[0].stdin.close()
    made[0].stdout.close()


def ended_name():
    """Return a temporary name of a process that has ended."""
    parts = temporary_name().split("-")
    parts[4] = str(int(parts[4]) + 5000)
    return "-".join(parts)


def test_leftovers_are_removed_whatever_they_are(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    folder, link, file = (tmp_path / ended_name() for _ in range(3))
    folder.mkdir()
    (folder / "part").touch()
    file.touch()
    for suffix in ("-wal", "-shm", "-journal"):
        file.with_name(file.name + suffix).touch()
    stranger = file.with_name(file.name + "-old")
    stranger.touch()
    if sys.platform != "win32":
        link.symlink_to(kept)
    remove_leftovers(tmp_path)
    assert names(tmp_path) == sorted([kept.name, stranger.name])
    assert names(kept) == ["file"]
    remove_leftovers(tmp_path / "none")


def test_files_of_other_machines_stay_and_old_ones_of_this_one_go(tmp_path):
    parts = temporary_name().split("-")
    elsewhere = "-".join([parts[0], "0" * 12, *parts[2:]])
    before, now = ("-".join([*parts[:2], n * 12, *parts[3:]]) for n in "01")
    for name in (elsewhere, before, now, ".segmix-notes.tmp"):
        (tmp_path / name).touch()
    for name in (elsewhere, before):
        os.utime(tmp_path / name, (1e9, 1e9))
    write_json(tmp_path / "a.json", 1)
    assert names(tmp_path) == sorted([elsewhere, now, ".segmix-notes.tmp", "a.json"])


def test_a_name_as_long_as_the_system_allows_can_be_written(tmp_path):
    path = tmp_path / ("x" * 250 + ".json")
    write_json(path, {"a": 1})
    assert read_json(path) == {"a": 1}


def test_a_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, 1)

    def fail(file):
        file.write(b"x")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_atomically(path, fail)
    assert names(tmp_path) == ["a.json"]
    assert read_json(path) == 1


def test_a_folder_that_cannot_be_flushed_is_no_error(tmp_path, monkeypatch):
    fsync, refused = os.fsync, []

    def refuse(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112
            refused.append(descriptor)
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(files.os, "fsync", refuse)
    write_json(tmp_path / "a.json", 1)
    if sys.platform == "linux":
        assert refused


def test_a_name_that_is_not_utf8_comes_back(tmp_path):
    write_json(tmp_path / "a.json", {"file": "a\udcff.tif"})
    assert b"\\udcff" in (tmp_path / "a.json").read_bytes()
    assert read_json(tmp_path / "a.json") == {"file": "a\udcff.tif"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[" * 65, "nested deeper"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "nested deeper"),
        (b'"' + b'\\"' * 1000000, "not JSON"),
        (b'"abc\\', "not JSON"),
        (b"1" * 19, "more than 18 digits"),
        (b"-1e999", "not a finite number"),
        (b"[NaN]", "not a finite number"),
        (b"[-Infinity]", "not a finite number"),
        (b"\xff", "not JSON"),
        (b"", "not JSON"),
    ],
)
def test_json_is_bounded(data, message):
    with pytest.raises(JsonError, match=message):
        parse_json(data)


def test_json_within_the_bounds_is_read(tmp_path):
    deep = b"[" * 64 + b"]" * 64
    assert json.dumps(parse_json(deep)).encode() == deep
    assert parse_json(b'{"a": "[[[\\"]]", "b": [1, 2.5e3]}') == {
        "a": '[[["]]',
        "b": [1, 2500.0],
    }
    assert parse_json(b"\xef\xbb\xbf{}") == {}
    assert parse_json(b"[NaN]", allow_nan=True) != []
    with pytest.raises(JsonError, match="larger than 1e-06 MB"):
        parse_json(b"[]", max_bytes=1)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
def test_pipes_and_folders_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "none", tmp_path / "a\0b"):
        with pytest.raises(OSError, match=r"is not a file|No such|null byte"):
            open_regular(path)


def test_what_is_not_printable_is_escaped():
    assert printable("Drüse 1.tif") == "Drüse 1.tif"
    assert printable("a\x1b[31m\n\udcff\u202eb") == r"a\x1b[31m\n\udcff\u202eb"
