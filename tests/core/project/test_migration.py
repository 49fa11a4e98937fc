"""A project of format 1 is brought over when it is opened, whole or not at all."""

import hashlib
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from segmix_core.errors import ProjectError
from segmix_core.geometry import Box
from segmix_core.project import migration
from segmix_core.project.packing import DamagedError
from segmix_core.project.repair import repair
from segmix_core.project.restore import restore
from segmix_core.project.snapshots import list_snapshots
from segmix_core.project.store import ProjectStore
from segmix_core.project.verify import find_faults
from tests.powerless import CHECKOUT

LABELS = [
    *([1, 1, 1], [-1, 0, 1], [0, 1, 0], [1, 0, 0], [1, 1, -1]),
    *([0, 0, -1], [-1, 0, 1], [-1, -1, 1], [-1, -1, 1]),
]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A project that format 1 wrote: see the first line of format_1.sql."""
    path = tmp_path / "old.segmix"
    (path / "masks" / "1").mkdir(parents=True)
    (path / "masks" / "state.json").write_text('{"written": 10, "flushed": 0}')
    script = Path(__file__).with_name("format_1.sql").read_text(encoding="utf-8")
    with closing(sqlite3.connect(path / "project.sqlite")) as connection:
        connection.executescript(script)
    return path


def check(store: ProjectStore) -> None:
    tiles = store.tiles()
    assert tiles.labels.tolist() == LABELS
    assert tiles.reviews.tolist() == [1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert [entry.name for entry in store.classes()] == ["gland", "stroma", "lymphoid"]
    assert [entry.since for entry in store.classes()] == [0, 0, 5]
    wanted = np.full((64, 64), 254, np.uint8)
    wanted[:9, :9] = 3
    assert np.array_equal(store.corrections(1, Box(0, 0, 64, 64)), wanted)
    assert (store.corrections(2, Box(5, 5, 20, 30)) == 1).all()
    assert store.corrected_tiles().tolist() == [1, 2]
    assert store.revision == 17


def test_everything_comes_over(old: Path) -> None:
    before = (old / "project.sqlite").read_bytes()
    with ProjectStore.open(old) as store:
        check(store)
        assert not store.is_read_only
    assert not (old / "masks").exists()
    assert find_faults(old) == ()
    (kept,) = (old / "snapshots").iterdir()
    assert kept.name.startswith("format-1-")
    with closing(sqlite3.connect(kept)) as copy:
        assert copy.execute("PRAGMA user_version").fetchone() == (1,)
    assert len(kept.read_bytes()) == len(before)


def test_undo_goes_back_to_the_beginning(old: Path) -> None:
    with ProjectStore.open(old) as store:
        masks = labels = 0
        while store.undo("masks"):
            masks += 1
        while store.undo("labels"):
            labels += 1
        assert (masks, labels) == (3, 6)
        assert find_faults(old) == ()
        assert len(store.tiles()) == 0
        assert [entry.name for entry in store.classes()] == ["gland", "stroma"]
        while store.redo("labels"):
            pass
        while store.redo("masks"):
            pass
        # What was undone before is done again as well: 81 pixels, and two windows.
        assert store.tiles().labels[:1].tolist() == [[1, 1, 1]]
    assert find_faults(old) == ()


def test_a_repaired_and_a_restored_old_project(old: Path) -> None:
    with ProjectStore.open(old) as store:
        name = list_snapshots(old)[0].name
        store.set_labels(np.array([1]), np.array([[0, 0, 0]], np.int8))
        restore(old, name)
        assert store.tiles().labels.tolist() == LABELS
    report = repair(old)
    assert report.lost == ()
    with ProjectStore.open(report.path) as store:
        assert store.tiles().labels.tolist() == LABELS


@pytest.mark.parametrize("step", ["_copy_journal", "_copy_parts", "_write_chunks"])
def test_a_migration_that_fails_changes_nothing(
    old: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(_: object) -> None:
        raise sqlite3.OperationalError("no room")

    before = hashlib.sha256((old / "project.sqlite").read_bytes()).hexdigest()
    with monkeypatch.context() as patch:
        patch.setattr(migration, step, fail)
        with pytest.raises(DamagedError, match="no room"):
            ProjectStore.open(old)
    after = hashlib.sha256((old / "project.sqlite").read_bytes()).hexdigest()
    assert after == before
    assert (old / "masks").exists()
    with ProjectStore.open(old) as store:
        check(store)


def test_a_damaged_journal_is_told(old: Path) -> None:
    with closing(sqlite3.connect(old / "project.sqlite")) as connection:
        connection.execute("UPDATE part SET keys = x'00' WHERE id = 3")
        connection.commit()
    with pytest.raises(DamagedError, match="damaged"):
        ProjectStore.open(old)
    assert (old / "masks").exists()


def test_two_programs_open_an_old_project_at_once(old: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from segmix_core.project.store import ProjectStore\n"
        "with ProjectStore.open(Path(sys.argv[1])) as store:\n"
        "    print(store.revision, len(store.tiles()))\n"
    )
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(old)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for program in programs:
        out, problems = program.communicate()
        assert out.split() == ["17", "9"], problems
    assert find_faults(old) == ()


@pytest.mark.skipif(sys.platform == "win32", reason="other permissions")
def test_an_old_project_that_may_not_be_written(old: Path) -> None:
    sealed = old.with_name("read-only")
    shutil.copytree(old, sealed)
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from segmix_core.errors import ProjectError\n"
        "from segmix_core.project.store import ProjectStore\n"
        "from tests.powerless import give_up_power\ngive_up_power()\n"
        "try:\n    ProjectStore.open(Path(sys.argv[1]))\n"
        "except ProjectError as error:\n    print(error)\n"
    )
    try:
        for path in (*sealed.rglob("*"), sealed):
            path.chmod(0o555 if path.is_dir() else 0o444)
        found = subprocess.run(
            [sys.executable, "-c", code, str(sealed)],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        for path in (sealed, *sealed.rglob("*")):
            path.chmod(0o755)
    assert "older format 1 and is read-only" in found.stdout, found.stderr


def test_a_view_in_an_old_project_is_refused(old: Path) -> None:
    with closing(sqlite3.connect(old / "project.sqlite")) as connection:
        connection.execute("CREATE VIEW v AS SELECT 1")
        connection.commit()
    with pytest.raises(ProjectError, match="triggers or views"):
        ProjectStore.open(old)
