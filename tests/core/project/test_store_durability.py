"""Kills, full disks, locks and damaged files: nothing saved is ever lost."""

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from segmix_core.errors import ProjectError
from segmix_core.geometry import Box
from segmix_core.project import opening
from segmix_core.project.store import ProjectStore
from segmix_core.project.verify import find_faults
from tests.powerless import CHECKOUT

TRIALS = 20

# Acknowledges every label on its standard output after set_labels returned.
_LABELER = """
import sys
from pathlib import Path
import numpy as np
from segmix_core.geometry import Box
from segmix_core.project.store import ProjectStore

store = ProjectStore.open(Path(sys.argv[1]))
for number in range(int(sys.argv[2]), 100_000):
    tile, state = 1 + number % 12, number // 12 % 2
    store.set_labels(np.array([tile]), np.full((1, 2), state, np.int8))
    if number % 5 == 0 and sys.argv[3] == "masks":
        values = np.full((8, 8), number // 5 % 3, np.uint8)
        store.correct_mask(1, Box(8 * (number // 5 % 20), 0, 8, 8), values)
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""

_FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from segmix_core.errors import ProjectError
from segmix_core.project.store import ProjectStore

store = ProjectStore.open(Path(sys.argv[1]))
size = sum(f.stat().st_size for f in Path(sys.argv[1]).glob("project.sqlite"))
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 60_000, size + 60_000))
rng = np.random.default_rng(0)
try:
    for number in range(10_000):
        states = rng.integers(-1, 2, (12, 2)).astype(np.int8)
        store.set_labels(np.arange(1, 13), states)
        sys.stdout.write("".join(str(v) + " " for v in states.ravel()) + "\\n")
        sys.stdout.flush()
except ProjectError as error:
    sys.stderr.write(str(error))
    sys.exit(7)
"""

_POWERLESS = """
import sys
from pathlib import Path
import numpy as np
from segmix_core.errors import ProjectError
from segmix_core.project.store import ProjectStore
from tests.powerless import give_up_power

with ProjectStore.open(Path(sys.argv[1])) as store:
    store.corrected_tiles()
give_up_power()
with ProjectStore.open(Path(sys.argv[1])) as store:
    sys.stdout.write(f"{store.is_read_only} {store.tiles().labels[0].tolist()} ")
    sys.stdout.write(f"{store.corrected_tiles().tolist()}")
    try:
        store.set_labels(np.array([1]), np.array([[0, 0]], np.int8))
    except ProjectError as error:
        sys.stderr.write(str(error))
try:
    ProjectStore.create(Path(sys.argv[1]) / "inner", ["a"])
except ProjectError as error:
    sys.stderr.write(str(error))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_every_acknowledged_label_survives_kill(slide_store: ProjectStore) -> None:
    chance, done = random.Random(0), -1
    slide_store.close()
    for trial in range(TRIALS):
        what = "masks" if trial % 4 == 0 else "labels"
        found = _label_until_killed(slide_store.path, done + 1, what, chance)
        done = max(done, found)
        with ProjectStore.open(slide_store.path) as store:
            _check_labels(store, done)
            assert not find_faults(store.path)
    assert done > TRIALS


def _label_until_killed(
    path: Path, start: int, what: str, chance: random.Random
) -> int:
    with subprocess.Popen(
        [sys.executable, "-c", _LABELER, str(path), str(start), what],
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline()]
        time.sleep(chance.uniform(0, 0.05))
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.readlines()
    # A line cut by the kill was not yet acknowledged.
    return max(int(line) for line in lines if line.endswith("\n"))


def _check_labels(store: ProjectStore, done: int) -> None:
    labels = store.tiles().labels
    for number in range(max(0, done - 11), done + 1):
        found = int(labels[number % 12, 0])
        wanted = number // 12 % 2
        # One more label may have been stored and not yet acknowledged.
        is_next = (done + 1) % 12 == number % 12
        assert found == wanted or (is_next and found == (done + 1) // 12 % 2)


@pytest.mark.skipif(sys.platform == "win32", reason="no RLIMIT_FSIZE")
def test_full_disk_keeps_all_before_it(slide_store: ProjectStore) -> None:
    slide_store.close()
    child = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(slide_store.path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 7, child.stderr
    assert "disk is full or failing" in child.stderr
    last = child.stdout.splitlines()[-1]
    with ProjectStore.open(slide_store.path) as store:
        wanted = np.array(last.split(), np.int8).reshape(12, 2)
        assert np.array_equal(store.tiles().labels, wanted)
        store.set_labels(np.array([1]), 1 - np.abs(wanted[:1]))


@pytest.mark.skipif(sys.platform == "win32", reason="other permissions")
def test_read_only_folder_can_be_read(slide_store: ProjectStore) -> None:
    slide_store.set_labels(np.array([1]), np.array([[1, 0]], np.int8))
    slide_store.correct_mask(1, Box(0, 0, 4, 4), np.ones((4, 4), np.uint8))
    slide_store.close()
    sealed = slide_store.path.with_name("read-only")
    shutil.copytree(slide_store.path, sealed)
    try:
        for path in (*sealed.rglob("*"), sealed):
            path.chmod(0o555 if path.is_dir() else 0o444)
        child = subprocess.run(
            [sys.executable, "-c", _POWERLESS, str(sealed)],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        for path in (sealed, *sealed.rglob("*")):
            path.chmod(0o755)
    assert child.stdout == "True [1, 0] [1]", child.stderr
    assert "cannot be written to" in child.stderr
    assert "cannot be created" in child.stderr


def test_other_program_holds_the_lock(
    slide_store: ProjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "BUSY_SECONDS", 0.1)
    file = slide_store.path / "project.sqlite"
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with ProjectStore.open(slide_store.path) as store:
            assert len(store.tiles()) == 12
            assert not store.is_read_only
            with pytest.raises(ProjectError, match="another program"):
                store.set_labels(np.array([1]), np.array([[1, 0]], np.int8))
            other.execute("ROLLBACK")
            assert store.set_labels(np.array([1]), np.array([[1, 0]], np.int8))
    finally:
        other.close()
    assert slide_store.tiles().labels[0].tolist() == [1, 0]


def test_two_stores_see_each_other(slide_store: ProjectStore) -> None:
    with ProjectStore.open(slide_store.path) as second:
        second.correct_mask(1, Box(0, 0, 8, 8), np.ones((8, 8), np.uint8))
        slide_store.correct_mask(1, Box(4, 4, 8, 8), np.full((8, 8), 2, np.uint8))
        box = Box(0, 0, 12, 12)
        expected = np.full((12, 12), 254, np.uint8)
        expected[:8, :8] = 1
        expected[4:, 4:] = 2
        assert np.array_equal(second.corrections(1, box), expected)
        assert np.array_equal(slide_store.corrections(1, box), expected)
        assert second.undo() is not None
        assert (slide_store.corrections(1, Box(0, 0, 8, 8)) == 1).all()
        added = second.add_class("third")
        assert slide_store.add_class("fourth").index == added.index + 1


def test_newer_format(store: ProjectStore) -> None:
    store.close()
    with sqlite3.connect(store.path / "project.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ProjectError, match="format 99, written by a newer"):
        ProjectStore.open(store.path)


def test_another_sqlite_file(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "project.sqlite") as connection:
        connection.execute("CREATE TABLE x (y)")
    connection.close()
    with pytest.raises(ProjectError, match="another program"):
        ProjectStore.open(tmp_path)
    (tmp_path / "project.sqlite").write_bytes(b"")
    with pytest.raises(ProjectError, match="is not a SegMix project"):
        ProjectStore.open(tmp_path)


def test_no_sqlite_file(tmp_path: Path) -> None:
    (tmp_path / "project.sqlite").write_bytes(b"not a database" * 1000)
    with pytest.raises(ProjectError, match="is not a SegMix project"):
        ProjectStore.open(tmp_path)


def test_damaged_pages(slide_store: ProjectStore) -> None:
    slide_store.close()
    file = slide_store.path / "project.sqlite"
    content = bytearray(file.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    file.write_bytes(content)

    def use() -> None:
        with ProjectStore.open(slide_store.path) as store:
            store.tiles()

    with pytest.raises(ProjectError, match="is damaged"):
        use()


def test_write_to_a_full_file(slide_store: ProjectStore) -> None:
    slide_store._database._connection.execute("PRAGMA max_page_count = 1")

    def label_again_and_again() -> None:
        for state in (0, 1) * 100:
            slide_store.set_labels(np.arange(1, 13), np.full((12, 2), state, np.int8))

    with pytest.raises(ProjectError, match="disk is full or failing"):
        label_again_and_again()
    assert (slide_store.tiles().labels >= 0).all()
    assert len(slide_store.history()) == slide_store.revision
