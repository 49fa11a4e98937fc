import struct

import pytest

from segmix_core.slides.dicom import group_by_slide, read_series

UID = b"1.2.840.99.4\0"


def explicit(group, element, kind, value):
    if kind in (b"SQ", b"UN", b"OB"):
        head = struct.pack("<HH2sHI", group, element, kind, 0, len(value))
    else:
        head = struct.pack("<HH2sH", group, element, kind, len(value))
    return head + value


def endless(group, element, kind, value):
    """Return an element of undefined length with one item of undefined length."""
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + value
    item += b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    return struct.pack("<HH2sHI", group, element, kind, 0, 0xFFFFFFFF) + item


META = explicit(2, 0x10, b"UI", b"1.2.840.10008.1.2.1\0")
OTHER = explicit(0x20, 0xE, b"UI", b"9.9.9.9.")
REFERENCED = explicit(
    8, 0x1115, b"SQ", b"\xfe\xff\x00\xe0" + struct.pack("<I", len(OTHER)) + OTHER
)
SERIES = explicit(0x20, 0xE, b"UI", UID)


def write(path, *elements):
    path.write_bytes(b"\0" * 128 + b"DICM" + b"".join(elements))
    return path


@pytest.mark.parametrize(
    "before",
    [
        (),
        (explicit(8, 0x60, b"CS", b"SM"),),
        (REFERENCED,),
        (endless(8, 0x1115, b"SQ", OTHER),),
        (endless(8, 0x1115, b"UN", struct.pack("<HHI", 0x20, 0xE, 4) + b"9.9\0"),),
        (endless(8, 0x1115, b"SQ", endless(8, 0x1199, b"SQ", OTHER)),),
    ],
)
def test_the_series_of_the_file_itself_is_found(tmp_path, before):
    path = write(
        tmp_path / "a.dcm", META, *before, SERIES, explicit(0x28, 2, b"US", b"\3\0")
    )
    assert read_series(path) == "1.2.840.99.4"


def test_implicit_representations_are_read(tmp_path):
    series = struct.pack("<HHI", 0x20, 0xE, len(UID)) + UID
    path = write(
        tmp_path / "a.dcm", META, struct.pack("<HHI", 8, 0x60, 2) + b"SM", series
    )
    assert read_series(path) == "1.2.840.99.4"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\0" * 128 + b"DICM",
        b"\0" * 128 + b"DICM" + META + SERIES[:12],
        b"\0" * 128 + b"DICM" + META + explicit(0x28, 2, b"US", b"\3\0"),
        b"\0" * 128 + b"DICM" + META + explicit(0x20, 0xE, b"UI", b"\0\0"),
        b"\0" * 128 + b"DICM" + META + explicit(0x20, 0xE, b"UI", b"\xff\xff"),
        b"\0" * 128
        + b"DICM"
        + struct.pack("<HH2sHI", 8, 5, b"SQ", 0, 0xFFFFFFFF) * 900,
        b"\0" * 128 + b"DICM" + explicit(8, 5, b"CS", b"") * 100_001 + SERIES,
    ],
)
def test_other_files_have_no_series(tmp_path, content):
    path = tmp_path / "a.dcm"
    path.write_bytes(content)
    assert read_series(path) is None


def test_files_of_one_series_in_one_folder_are_one_slide(tmp_path):
    (tmp_path / "copy").mkdir()
    names = ("a.dcm", "other.dcm", "b.dcm", "copy/a.dcm")
    uids = (UID, b"1.2.3.4\0", UID, UID)
    paths = [
        write(tmp_path / name, META, explicit(0x20, 0xE, b"UI", uid))
        for name, uid in zip(names, uids, strict=True)
    ]
    damaged = [tmp_path / "gone.dcm", tmp_path / "gone2.dcm"]
    assert group_by_slide([*paths, *damaged]) == (
        (paths[0], paths[2]),
        (paths[1],),
        (paths[3],),
        (damaged[0],),
        (damaged[1],),
    )
