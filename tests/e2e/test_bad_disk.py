"""Folders that cannot be written and disks that are full: a sentence, nothing lost."""

import shutil
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest

from segmix_core.errors import ProjectError
from segmix_core.geometry import Box
from segmix_core.project.store import ProjectStore
from segmix_core.runs import RunState
from tests.powerless import powerless

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="needs POSIX permissions and limits"
)


@contextmanager
def files_of_at_most(size):
    """Let writing fail where a file gets larger, as on a disk that is full."""
    import resource

    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


@pytest.fixture
def sealed(tmp_path, labeled, draw_tiles):
    """A labeled project in which nothing can be written."""
    project = labeled(tmp_path / "p.segmix", draw_tiles(tmp_path / "tiles"))
    parts = [project, *project.rglob("*")]
    for path in parts:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield project
    for path in parts:
        path.chmod(0o755)


def test_a_read_only_project_can_be_looked_at(sealed, answer):
    with powerless():
        code, said = answer("status", sealed)
    assert code == 0
    assert said["sources"][0]["labeled"] == 8


@pytest.mark.parametrize(
    "command",
    [("train",), ("add", "new_tiles"), ("import-labels", "labels.csv")],
)
def test_a_read_only_project_refuses_changes(
    sealed, tmp_path, draw_tiles, answer, command
):
    draw_tiles(tmp_path / "new_tiles", 2)
    table = tmp_path / "labels.csv"
    table.write_text("filename,is_light,is_dark\ntile0.png,0,1\n", encoding="utf-8")
    name, *rest = command
    with powerless():
        code, said = answer(name, sealed, *(tmp_path / entry for entry in rest))
    assert code == 2, said
    assert "writ" in said["message"]
    assert said["hint"]
    with powerless(), ProjectStore.open(sealed) as store:
        assert len(store.sources()) == 1
        assert store.tiles().labels[0].tolist() == [1, 0]


def test_a_project_is_not_made_where_nobody_may_write(tmp_path, answer):
    tmp_path.chmod(0o555)
    with powerless():
        code, said = answer("new", tmp_path / "p.segmix", "--classes", "a,b")
    tmp_path.chmod(0o755)
    assert (code, said["error"]) == (2, "ProjectError")
    assert "writable" in said["hint"]


def test_labels_on_a_full_disk(project, content):
    before = content(project)
    with ProjectStore.open(project) as store:
        ids = store.tiles().ids
        with files_of_at_most(1000), pytest.raises(ProjectError, match="space"):
            store.set_labels(ids, np.tile(np.array([[0, 1]], np.int8), (len(ids), 1)))
    assert content(project) == before
    with ProjectStore.open(project) as store:
        store.set_labels(ids[:1], [[0, 1]])
        assert store.tiles().labels[0].tolist() == [0, 1]


def test_corrections_on_a_full_disk_are_whole_or_not_there(project, content):
    before = content(project)
    values = np.random.default_rng(0).integers(0, 3, (32, 32)).astype(np.uint8)
    box = Box(0, 0, 32, 32)
    with ProjectStore.open(project) as store:
        with files_of_at_most(1000), pytest.raises(ProjectError):
            store.correct_mask(1, box, values)
        store.correct_mask(1, box, values)
        np.testing.assert_array_equal(store.corrections(1, box), values)
    assert content(project)[1:] == before[1:]


@pytest.fixture
def small_disk(tmp_path):
    """A disk of its own of 16 MB."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(path)]
    if sys.platform != "linux" or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root can mount a disk")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


@contextmanager
def filled(disk, free):
    """Fill a disk but for some bytes."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        left = shutil.disk_usage(disk).free - free
        file.write(bytes(left))
    try:
        yield
    finally:
        filler.unlink()


LOOP = ["train", "cams", "pseudo-masks", "train-segmenter", "predict", "export"]
# Enough for the first words of a run, not for its results.
FREE = 100_000


def test_every_stage_on_a_full_disk(small_disk, labeled, draw_tiles, stage, content):
    project = labeled(small_disk / "p.segmix", draw_tiles(small_disk / "tiles"))
    exports = project / "exports"
    for name in LOOP:
        before = content(project)
        with filled(small_disk, FREE):
            code, said = stage(name, project)
        assert code == 2, said
        assert "Unexpected" not in said["message"]
        assert "space" in said["results"]["hint"]
        assert not exports.exists() or not list(exports.glob(".*"))
        weights = project.rglob("*.safetensors")
        assert all(file.with_name("checkpoint.json").exists() for file in weights)
        after = content(project)
        assert after[:-1] == before[:-1]
        *former, (_, state) = after[-1]
        assert former == before[-1]
        assert state == RunState.FAILED
        code, said = stage(name, project)
        assert code == 0, said
