"""Arrays of other people: what SegMix writes is read, all else is a sentence."""

import json
import sys
import zipfile

import numpy as np
import pytest
import zarr

from segmix_core import stored_arrays
from segmix_core.errors import JobError, ProjectError
from segmix_core.stored_arrays import open_array, read_table


@pytest.fixture
def values():
    return np.random.default_rng(0).integers(0, 200, (70, 90), np.uint8)


@pytest.fixture
def folder(tmp_path, values):
    """An array in a group, as SegMix writes it."""
    path = tmp_path / "masks.zarr" / "3"
    array = zarr.create_array(
        store=str(path), shape=(70, 90), chunks=(32, 32), dtype="u1", fill_value=255
    )
    array[:] = values
    return path


def change(folder, *places, to):
    """Replace a part of the description of an array."""
    content = json.loads((folder / "zarr.json").read_text())
    part = content
    for place in places[:-1]:
        part = part[place]
    part[places[-1]] = to
    (folder / "zarr.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    "part",
    [
        (slice(None), slice(None)),
        (slice(31, 33), slice(5, 70)),
        (slice(10, 10), slice(None)),
        (slice(60, 100), slice(-5, None)),
        slice(64, 70),
    ],
)
def test_parts_are_read(folder, values, part):
    np.testing.assert_array_equal(open_array(folder, 2)[part], values[part])


def test_what_was_not_written_has_the_fill_value(tmp_path):
    zarr.create_array(
        store=str(tmp_path / "a"), shape=(9,), chunks=(4,), dtype="u1", fill_value=7
    )
    assert (open_array(tmp_path / "a", 1)[:] == 7).all()


def test_arrays_that_are_not_compressed_are_read(tmp_path, values):
    array = zarr.create_array(
        store=str(tmp_path / "a"),
        shape=(70, 90),
        chunks=(32, 90),
        dtype="u1",
        compressors=None,
    )
    array[:] = values
    np.testing.assert_array_equal(open_array(tmp_path / "a", 2)[:], values)
    (tmp_path / "a" / "c" / "0" / "0").write_bytes(b"short")
    with pytest.raises(JobError, match="is damaged at c/0/0"):
        open_array(tmp_path / "a", 2)[:]


def test_no_array_is_none(tmp_path):
    assert open_array(tmp_path / "none", 2) is None
    (tmp_path / "file").touch()
    assert open_array(tmp_path / "file", 2) is None


def test_steps_and_too_many_slices_are_mistakes(folder):
    array = open_array(folder, 2)
    for wrong in (slice(0, 9, 2), (slice(1), slice(1), slice(1))):
        with pytest.raises(IndexError):
            array[wrong]


@pytest.mark.parametrize(
    ("places", "to"),
    [
        (["zarr_format"], 2),
        (["node_type"], "group"),
        (["data_type"], "int16"),
        (["data_type"], {"name": "struct"}),
        (["shape"], [70, 90, 1]),
        (["shape"], [-1, 90]),
        (["shape"], [2**31, 90]),
        (["shape"], []),
        (["fill_value"], "NaN"),
        (["fill_value"], 256),
        (["chunk_grid", "name"], "irregular"),
        (["chunk_grid", "configuration", "chunk_shape"], [0, 32]),
        (["chunk_grid", "configuration", "chunk_shape"], [32]),
        (["chunk_grid", "configuration", "chunk_shape"], [2**15, 2**15]),
        (["chunk_key_encoding", "name"], "v2"),
        (["chunk_key_encoding", "configuration", "separator"], "../"),
        (["codecs"], []),
        (["codecs"], [{"name": "zstd"}]),
        (["codecs"], [{"name": "zstd"}, {"name": "bytes"}]),
        (["codecs"], [{"name": "numcodecs.pickle"}, {"name": "bytes"}]),
        (["codecs"], [{"name": "bytes"}, {"name": "numcodecs.pickle"}]),
        (["codecs"], [{"name": "bytes"}, {"name": "blosc"}]),
        (
            ["codecs"],
            [
                {
                    "name": "sharding_indexed",
                    "configuration": {"codecs": [{"name": "pickle"}]},
                }
            ],
        ),
        (["storage_transformers"], [{"name": "x"}]),
    ],
)
def test_another_description_is_refused(folder, places, to):
    change(folder, *places, to=to)
    with pytest.raises(
        JobError, match=r"SegMix does not write|claims chunks|has \d dim"
    ):
        open_array(folder, 2)


def test_a_pickle_filter_of_the_older_format_is_never_run(tmp_path):
    description = {
        "zarr_format": 2,
        "shape": [4],
        "chunks": [4],
        "dtype": "|O",
        "fill_value": None,
        "order": "C",
        "compressor": None,
        "filters": [{"id": "pickle"}],
    }
    (tmp_path / ".zarray").write_text(json.dumps(description))
    (tmp_path / "0").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(JobError, match="unsupported zarr format"):
        open_array(tmp_path, 1)


@pytest.mark.parametrize("content", [b"", b"[" * 10**6, b'{"shape": 1e999}', b"\xff"])
def test_a_description_that_is_no_json(folder, content):
    (folder / "zarr.json").write_bytes(content)
    with pytest.raises(ProjectError, match="has no valid description"):
        open_array(folder, 2, ProjectError)


def test_a_folder_for_a_description(folder):
    (folder / "zarr.json").unlink()
    (folder / "zarr.json").mkdir()
    with pytest.raises(JobError, match=r"cannot be read \(zarr.json is not a file\)"):
        open_array(folder, 2)


def test_a_claimed_size_takes_no_memory(folder):
    change(folder, "shape", to=[2**31 - 1, 2**31 - 1])
    array = open_array(folder, 2)
    with pytest.raises(JobError, match="claims a size of"):
        array[:]


@pytest.mark.parametrize("cut", ["empty", "short", "garbage", "too long", "bomb"])
def test_a_damaged_chunk_is_a_sentence(folder, cut):
    chunk = folder / "c" / "1" / "1"
    data = chunk.read_bytes()
    bomb = stored_arrays.imagecodecs.zstd_encode(bytes(10**7))
    chunk.write_bytes(
        {
            "empty": b"",
            "short": data[:-3],
            "garbage": b"garbage" * 9,
            "too long": data * 100,
            "bomb": bomb,
        }[cut]
    )
    array = open_array(folder, 2)
    with pytest.raises(
        JobError, match=r"masks.zarr/3 is damaged at c/1/1\. Run its stage"
    ):
        array[:]
    assert array[:20, :20].shape == (20, 20)


def test_a_folder_for_a_chunk(folder):
    chunk = folder / "c" / "1" / "1"
    chunk.unlink()
    chunk.mkdir()
    with pytest.raises(JobError, match=r"cannot be read at c/1/1 \(1 is not a file\)"):
        open_array(folder, 2)[:]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
@pytest.mark.parametrize("name", ["c", "c/1", "c/1/1"])
def test_links_to_chunks_are_refused(folder, tmp_path, name):
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(JobError, match="has a symbolic link at"):
        open_array(folder, 2)[:]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_links_to_arrays_are_refused(folder, tmp_path):
    (tmp_path / "group").mkdir()
    (tmp_path / "group" / "4").symlink_to(folder)
    (tmp_path / "link").symlink_to(folder.parent)
    for path in (tmp_path / "group" / "4", tmp_path / "link" / "3"):
        with pytest.raises(JobError, match="is a symbolic link"):
            open_array(path, 2)


def test_a_table_comes_back(tmp_path):
    columns = {
        "ids": np.arange(5),
        "names": np.array(["Drüse", "b"]),
        "stride": np.asarray(8),
        "big": np.arange(6, dtype=">f4").reshape(2, 3),
        "other": np.asfortranarray(np.eye(3)),
        "none": np.zeros((0, 2), bool),
    }
    np.savez(tmp_path / "a.npz", **columns)
    found = read_table(tmp_path / "a.npz")
    assert found.keys() == columns.keys()
    for name, values in columns.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].shape == values.shape
    found["ids"][0] = 7
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "b.npz")


def header(text, version=b"\x01\x00"):
    """Return a column with a header of one's own."""
    size = len(text).to_bytes(2 if version[0] == 1 else 4, "little")
    return b"\x93NUMPY" + version + size + text.encode()


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (b"", "not a valid table of numbers"),
        (b"garbage", "not a valid table of numbers"),
        (
            header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"),
            "without numbers",
        ),
        (
            header("{'descr': '<M8[s]', 'fortran_order': False, 'shape': (0,)}"),
            "without num",
        ),
        (
            header("{'descr': '<i8', 'fortran_order': False, 'shape': (9**99,)}"),
            "not a valid tab",
        ),
        (
            header("{'descr': '<i8', 'fortran_order': False, 'shape': (10**9,)}"),
            "table",
        ),
        (
            header(f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({10**12},)}}"),
            "is truncated",
        ),
        (
            header("{'descr': '<i8', 'fortran_order': False, 'shape': (-1,)}"),
            "invalid size",
        ),
        (header("[" * 5000), "not a valid table of numbers"),
        (header("{" * 90000, b"\x02\x00"), "not a valid table of numbers"),
        (header("{}", b"\x03\x00"), "newer format"),
        (
            header("{'descr': '<U1', 'fortran_order': False, 'shape': (1,)}")
            + b"\xff" * 4,
            "invalid text",
        ),
    ],
)
def test_a_damaged_column_is_a_sentence(tmp_path, column, message):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("ids.npy", column)
    with pytest.raises(JobError, match=message):
        read_table(tmp_path / "a.npz")


def test_compressed_tables_are_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", ids=np.zeros(10**6))
    with pytest.raises(JobError, match="column 'ids' that is compressed"):
        read_table(tmp_path / "a.npz")


def test_tables_are_bounded(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", **{f"c{n}": np.arange(3) for n in range(65)})
    with pytest.raises(JobError, match="has 65 columns"):
        read_table(tmp_path / "a.npz")
    monkeypatch.setattr(stored_arrays, "MAX_TABLE_BYTES", 1000)
    with pytest.raises(JobError, match="is larger than"):
        read_table(tmp_path / "a.npz")


def test_a_cut_or_pickled_table_is_a_sentence(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, ids=np.arange(1000))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(JobError, match="not a valid table of numbers"):
        read_table(path)
    np.savez(path, ids=np.array([{}], object))
    with pytest.raises(JobError, match="without numbers"):
        read_table(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(JobError, match="is not a file"):
        read_table(path)
