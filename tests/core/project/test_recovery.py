"""Verify, repair and restore: on projects that were damaged in many ways."""

import re
import shutil
import sqlite3
import tempfile
import threading
import time
import zlib
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from segmix_core.errors import ProjectError
from segmix_core.files import temporary_name
from segmix_core.geometry import Box
from segmix_core.project import opening
from segmix_core.project.records import Review
from segmix_core.project.repair import repair
from segmix_core.project.restore import restore
from segmix_core.project.snapshots import find_snapshot, list_kept, list_snapshots
from segmix_core.project.store import ProjectStore
from segmix_core.project.verify import find_faults

WHOLE = Box(0, 0, 192, 256)


@pytest.fixture
def worked(slide_store: ProjectStore) -> Path:
    """A project with some of everything, closed."""
    store, rng = slide_store, np.random.default_rng(0)
    ids = store.tiles().ids
    for _ in range(5):
        store.set_labels(ids, rng.integers(-1, 2, (12, 2)).astype(np.int8))
    store.rename_class(1, "crypt")
    store.add_class("lymph")
    store.set_labels(ids[:4], np.ones((4, 3), np.int8))
    for k in range(6):
        box = Box(20 * k, 10 * k, 30, 40)
        store.correct_mask(1, box, rng.integers(0, 4, (30, 40)).astype(np.uint8))
    store.undo("masks")
    store.set_reviews(ids[3:6], Review.ACCEPTED)
    store.set_setting("note", {"a": 1})
    store.close()
    return store.path


def state(path: Path) -> list[object]:
    with ProjectStore.open(path) as store:
        tiles = store.tiles()
        return [
            [(entry.name, entry.color) for entry in store.classes()],
            tiles.labels.tolist(),
            tiles.reviews.tolist(),
            store.corrections(1, WHOLE).tolist(),
            [str(image.path) for image in store.images()],
            store.setting("note"),
        ]


def change(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path / "project.sqlite")) as connection:
        connection.execute(statement, values)
        connection.commit()


def test_a_sound_project_has_no_faults(worked: Path) -> None:
    seen: list[tuple[int, int]] = []
    before = (worked / "project.sqlite").read_bytes()
    assert find_faults(worked, lambda *steps: seen.append(steps)) == ()
    assert seen[-1][0] == seen[-1][1] > 15
    assert (worked / "project.sqlite").read_bytes() == before


def full_disk(*_: object) -> None:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorname = "SQLITE_FULL"
    raise error


def test_a_full_disk_is_not_damage(
    worked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segmix_core.project.verify.copy_database", full_disk)
    with pytest.raises(ProjectError, match="disk is full") as caught:
        find_faults(worked)
    assert caught.value.hint.startswith("Free some space")


def test_a_repair_on_a_full_disk_leaves_nothing(
    worked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = worked.with_name("repaired.segmix")
    monkeypatch.setattr("segmix_core.project.repair.copy_database", full_disk)
    with pytest.raises(ProjectError, match="disk is full") as caught:
        repair(worked, target)
    assert caught.value.hint.startswith("Free some space")
    assert not target.exists()


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE tile SET labels = x'0000' WHERE id = 5", "labels does not match"),
        ("UPDATE tile SET review = 2 WHERE id = 1", "review"),
        ("UPDATE class SET name = 'other' WHERE idx = 1", "class does not match"),
        ("DELETE FROM part WHERE id = 3", "1 parts of journal entries are missing"),
        ("UPDATE part SET after = x'00' WHERE id = 4", "cannot be read|boxes|labels"),
        ("UPDATE chunk SET top_class = 9", "do not match their recorded classes"),
        ("UPDATE chunk SET pixels = x'1234'", "cannot be read"),
        ("DELETE FROM chunk", "mask does not match"),
        ("DELETE FROM tile WHERE id = 12", "labels|boxes|cannot be read"),
        ("UPDATE image SET height = 999", "images does not match the entry"),
        ("DELETE FROM image", "image|rows"),
        ("CREATE TABLE more (x)", "Tables differ: more"),
    ],
)
def test_what_verify_finds(worked: Path, statement: str, fault: str) -> None:
    change(worked, statement)
    faults = find_faults(worked)
    assert any(re.search(fault, text) for text in faults), faults


def test_pixels_changed_behind_the_journal(worked: Path) -> None:
    change(
        worked, "UPDATE chunk SET pixels = ?", zlib.compress(bytes(512 * 512) * 1, 1)
    )
    assert any("mask" in text or "classes" in text for text in find_faults(worked))


def test_repair_of_a_sound_project_changes_nothing(worked: Path) -> None:
    report = repair(worked)
    assert report.path.name == "p-repaired.segmix"
    assert report.lost == ()
    assert report.tiles == 12
    assert state(report.path) == state(worked)
    assert find_faults(report.path) == ()
    with ProjectStore.open(report.path) as store:
        assert store.undo("masks") is not None
        assert store.undo("labels") is not None
    with pytest.raises(ProjectError, match="already exists"):
        repair(worked, report.path)
    assert repair(worked).path.name == "p-repaired-2.segmix"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tile SET labels = x'0000', review = 0",
        "DELETE FROM tile",
        "DELETE FROM chunk",
        "UPDATE chunk SET pixels = x'1234'",
        "DELETE FROM image",
        "DELETE FROM class",
        "DELETE FROM source",
    ],
)
def test_a_whole_journal_brings_everything_back(worked: Path, statement: str) -> None:
    wanted = state(worked)
    change(worked, statement)
    assert find_faults(worked)
    report = repair(worked)
    assert state(report.path) == wanted
    assert find_faults(report.path) == ()


def test_a_damaged_color_becomes_the_default_one(worked: Path) -> None:
    wanted = state(worked)
    change(worked, "UPDATE class SET color = '#\u20acb4e9' WHERE idx = 1")
    change(worked, "DELETE FROM part WHERE id = 7")
    report = repair(worked)
    assert any(
        "The color of class 'crypt' is damaged" in text for text in report.lost
    ), report.lost
    assert state(report.path) == wanted


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("DELETE FROM part WHERE id = 7", "cannot be replayed"),
        ("DELETE FROM part WHERE id = 2", "1 parts of entries of the journal"),
        ("DELETE FROM journal WHERE id = 4", "1 entries of the journal are missing"),
        ("UPDATE part SET after = x'00' WHERE id = 5", "cannot be replayed"),
    ],
)
def test_tables_stand_in_for_a_journal_with_gaps(
    worked: Path, statement: str, told: str
) -> None:
    wanted = state(worked)
    change(worked, statement)
    report = repair(worked)
    assert any(told in text for text in report.lost), report.lost
    assert state(report.path) == wanted
    assert find_faults(report.path) == ()
    with ProjectStore.open(report.path) as store:
        assert store.undo() is None
        assert store.set_labels(np.array([1]), np.array([[0, 0, 0]], np.int8))
        assert store.undo() is not None
    assert find_faults(report.path) == ()


@pytest.mark.parametrize("seed", range(12))
def test_damaged_pages_lose_nothing_in_silence(worked: Path, seed: int) -> None:
    """Overwrite one page: repair gives the whole state, or says what is missing."""
    wanted = state(worked)
    file = worked / "project.sqlite"
    content = bytearray(file.read_bytes())
    rng = np.random.default_rng(seed)
    page = int(rng.integers(1, len(content) // 4096))
    content[page * 4096 : (page + 1) * 4096] = rng.bytes(4096)
    file.write_bytes(content)
    report = repair(worked)
    assert file.read_bytes() == bytes(content)
    assert report.lost or state(report.path) == wanted
    assert find_faults(report.path) == ()


@pytest.mark.parametrize("share", [0.7, 0.8, 0.95])
def test_a_file_cut_short_gives_what_is_left_of_it(worked: Path, share: float) -> None:
    wanted = state(worked)
    file = worked / "project.sqlite"
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    report = repair(worked)
    assert report.lost or state(report.path) == wanted
    assert report.tiles > 0
    assert find_faults(report.path) == ()


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE part RENAME COLUMN kind TO other",
        "ALTER TABLE class RENAME COLUMN since TO other",
        "DROP TABLE chunk",
    ],
)
def test_tables_of_another_shape_cannot_be_read(worked: Path, statement: str) -> None:
    change(worked, statement)
    report = repair(worked)
    assert any("cannot be read" in sentence for sentence in report.lost)
    with ProjectStore.open(report.path) as store:
        assert len(store.tiles()) == 12
    assert find_faults(report.path) == ()


def test_nothing_to_repair(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"Nothing can be read.*no snapshots either"):
        repair(tmp_path / "none")
    (tmp_path / "project.sqlite").write_bytes(bytes(9000))
    with pytest.raises(ProjectError, match="Nothing can be read"):
        repair(tmp_path, tmp_path / "out")


def snapshot(path: Path) -> str:
    """Take the snapshot that the first change of a day takes."""
    with ProjectStore.open(path) as store:
        store.set_setting("day", 1)
    return list_snapshots(path)[0].name


def test_restore_keeps_what_was_there(worked: Path) -> None:
    name = snapshot(worked)
    wanted = state(worked)
    with ProjectStore.open(worked) as store:
        store.set_labels(np.array([1]), np.array([[0, 0, 0]], np.int8))
        later, revision = state(worked), store.revision
        runs = store.last_changes()
        kept = restore(worked, name)
        # The open window goes on with the restored project.
        assert store.is_changed_elsewhere()
        assert store.revision == revision + 1
        assert all(store.last_changes()[kind] > runs[kind] for kind in runs)
        assert store.history(1)[0].description == f"Restored the snapshot {name}"
        assert store.tiles().labels.tolist() == wanted[1]
        assert store.undo("labels") is not None
        store.redo("labels")
    assert state(worked) == wanted
    assert find_faults(worked) == ()
    restore(worked, kept.stem)
    assert state(worked) == later


@pytest.mark.parametrize("damage", ["cut", "zeros", "gone", "text"])
def test_restore_of_a_damaged_project(worked: Path, damage: str) -> None:
    name = snapshot(worked)
    wanted = state(worked)
    file = worked / "project.sqlite"
    content = file.read_bytes()
    broken = {
        "cut": lambda: file.write_bytes(content[: len(content) // 2]),
        "zeros": lambda: file.write_bytes(bytes(len(content))),
        "gone": file.unlink,
        "text": lambda: file.write_text("hello"),
    }
    broken[damage]()
    left = file.read_bytes() if file.exists() else None
    kept = restore(worked, name)
    assert state(worked) == wanted
    if left is not None:
        assert (kept / file.name).read_bytes() == left


def test_snapshots_that_cannot_be_restored(worked: Path) -> None:
    with pytest.raises(ProjectError, match="no snapshot 'yesterday'"):
        find_snapshot(worked, "yesterday")
    name = snapshot(worked)
    path = find_snapshot(worked, name).path
    content = bytearray(path.read_bytes())
    content[5000:9000] = bytes(4000)
    path.write_bytes(content)
    before = state(worked)
    with pytest.raises(ProjectError, match="damaged"):
        restore(worked, name)
    assert state(worked) == before


def test_ten_daily_snapshots_are_kept(worked: Path) -> None:
    folder = worked / "snapshots"
    folder.mkdir()
    for day in range(1, 15):
        shutil.copy(worked / "project.sqlite", folder / f"2025-01-{day:02}.sqlite")
    shutil.copy(worked / "project.sqlite", folder / "before-restore-1.sqlite")
    snapshot(worked)
    names = sorted(path.name for path in folder.iterdir())
    assert len([name for name in names if name.startswith("20")]) == 10
    assert names[0] == "2025-01-06.sqlite"
    assert "before-restore-1.sqlite" in names


def leftover(folder: Path) -> Path:
    """Write what a killed process leaves: a database and its journal."""
    parts = temporary_name().split("-")
    parts[4] = str(int(parts[4]) + 5000)
    path = folder / "-".join(parts)
    for name in (path.name, f"{path.name}-journal"):
        (folder / name).write_bytes(b"half")
    return path


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_what_killed_processes_left_is_removed(
    worked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = snapshot(worked)
    folder, system = worked / "snapshots", worked.with_name("tmp")
    system.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(system))
    left = [leftover(place) for place in (worked, folder, system)]
    ProjectStore.open(worked).close()
    assert not left[0].exists()
    assert not hidden(worked)
    assert not hidden(system)
    restore(worked, name)
    assert not hidden(folder)
    assert len(list_snapshots(worked)) == 2


def test_copies_that_nobody_removes_are_listed(worked: Path) -> None:
    assert list_kept(worked) == ()
    name = snapshot(worked)
    assert list_kept(worked) == ()
    restore(worked, name)
    (worked / "project.sqlite").write_bytes(b"x" * 5000)
    restore(worked, name)
    before, damaged = list_kept(worked)
    assert before.path.name.startswith("before-restore-")
    assert before.size == before.path.stat().st_size
    assert damaged.path.name.startswith("damaged-")
    assert damaged.size == 5000


def test_a_snapshot_is_of_before_the_first_change(worked: Path) -> None:
    wanted = state(worked)
    with ProjectStore.open(worked) as store:
        store.set_labels(np.array([1]), np.array([[0, 0, 0]], np.int8))
    taken = list_snapshots(worked)
    assert len(taken) == 1
    other = worked.with_name("other.segmix")
    other.mkdir()
    shutil.copy(taken[0].path, other / "project.sqlite")
    assert state(other)[1:4] == wanted[1:4]


def test_no_damaged_page_hides_all_tables(worked: Path) -> None:
    with closing(sqlite3.connect(worked / "project.sqlite")) as connection:
        (page,) = connection.execute("PRAGMA page_size").fetchone()
    file = worked / "project.sqlite"
    sound = file.read_bytes()
    for number in range(len(sound) // page):
        content = bytearray(sound)
        content[number * page : (number + 1) * page] = bytes([7]) * page
        file.write_bytes(content)
        target = worked.with_name(f"repaired-{number}.segmix")
        assert repair(worked, target).path == target


HARMS = {
    "all": lambda page: bytes(len(page)),
    "random": lambda page: np.random.default_rng(0).bytes(len(page)),
    "header": lambda page: b"?" * 100 + page[100:],
    "schema": lambda page: page[:100] + bytes([7]) * (len(page) - 100),
    "no tables": lambda page: page[:103] + bytes(2) + page[105:],
    "application": lambda page: page[:68] + b"abcd" + page[72:],
    "version": lambda page: page[:60] + b"abcd" + page[64:],
    "size of a page": lambda page: page[:16] + b"\x7f\x03" + page[18:],
}


def harm_first_page(project: Path, harm: str) -> bytes:
    """Damage page 1; return what the file is then."""
    file = project / "project.sqlite"
    content = file.read_bytes()
    file.write_bytes(HARMS[harm](content[:4096]) + content[4096:])
    return file.read_bytes()


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_first_page_loses_nothing(worked: Path, harm: str) -> None:
    wanted = state(worked)
    damaged = harm_first_page(worked, harm)
    with pytest.raises(ProjectError):
        ProjectStore.open(worked)
    report = repair(worked)
    assert (worked / "project.sqlite").read_bytes() == damaged
    assert report.lost == ()
    assert state(report.path) == wanted
    assert find_faults(report.path) == ()


@pytest.mark.parametrize("seed", range(6))
def test_another_damaged_page_beside_the_first(worked: Path, seed: int) -> None:
    wanted = state(worked)
    content = bytearray(harm_first_page(worked, "all"))
    rng = np.random.default_rng(seed)
    page = int(rng.integers(1, len(content) // 4096))
    content[page * 4096 : (page + 1) * 4096] = rng.bytes(4096)
    (worked / "project.sqlite").write_bytes(content)
    report = repair(worked)
    assert report.lost or state(report.path) == wanted
    assert find_faults(report.path) == ()


def move_tables(project: Path) -> None:
    """Put the tables at other pages, as a conversion does."""
    change(project, "CREATE TABLE other (a)")
    with closing(sqlite3.connect(project / "project.sqlite")) as connection:
        made = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE name IN ('chunk', 'setting')"
        ).fetchall()
        for name, sql in made:
            connection.execute(f"ALTER TABLE {name} RENAME TO old_{name}")
            connection.execute(sql)
            connection.execute(f"INSERT INTO {name} SELECT * FROM old_{name}")
            connection.execute(f"DROP TABLE old_{name}")
        connection.execute(
            "CREATE UNIQUE INDEX chunk_place ON chunk (image_id, row, col)"
        )
        connection.execute("DROP TABLE other")
        connection.commit()


def test_snapshots_tell_where_the_tables_of_a_converted_project_are(
    worked: Path,
) -> None:
    move_tables(worked)
    wanted = state(worked)
    taken = worked / "snapshots" / "2026-01-02.sqlite"
    with ProjectStore.open(worked) as store:
        store.set_setting("day", 1)
    list_snapshots(worked)[0].path.rename(taken)
    (worked / "snapshots" / "2026-01-03.sqlite").write_bytes(b"no database")
    harm_first_page(worked, "all")
    report = repair(worked)
    assert report.lost == ()
    assert state(report.path) == wanted
    taken.unlink()
    with pytest.raises(ProjectError, match="Nothing can be read"):
        repair(worked)


def test_the_database_of_another_program_is_not_taken_for_a_damaged_one(
    worked: Path,
) -> None:
    (worked / "project.sqlite").unlink()
    change(worked, "CREATE TABLE person (name TEXT, age INTEGER)")
    change(worked, "INSERT INTO person VALUES ('a', 3)")
    with pytest.raises(ProjectError, match="belongs to another program"):
        repair(worked)
    harm_first_page(worked, "all")
    with pytest.raises(ProjectError, match="Nothing can be read"):
        repair(worked)


def test_a_repair_that_finds_nothing_names_the_snapshots(worked: Path) -> None:
    for day in range(1, 8):
        snapshot_of_day(worked, f"2026-01-0{day}")
    (worked / "project.sqlite").write_bytes(bytes(50_000))
    with pytest.raises(ProjectError) as caught:
        repair(worked)
    names = [entry.name for entry in list_snapshots(worked)]
    assert f"'segmix restore {worked} {names[0]}'" in caught.value.hint
    assert f"There are: {', '.join(names[:5])}, and 2 older ones." in (
        caught.value.hint
    )


def snapshot_of_day(project: Path, name: str) -> None:
    folder = project / "snapshots"
    folder.mkdir(exist_ok=True)
    shutil.copy(project / "project.sqlite", folder / f"{name}.sqlite")


def test_what_is_labeled_during_a_restore_is_kept(
    worked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second program labels all the time; nothing it was told is stored may go."""
    name = snapshot(worked)
    stop, said = threading.Event(), []

    def label() -> None:
        with ProjectStore.open(worked) as store:
            number = 0
            while not stop.is_set():
                number += 1
                store.set_setting("number", number)
                said.append(number)
                # SQLite's lock is not fair: the restore must get a turn.
                time.sleep(0.005)

    worker = threading.Thread(target=label)
    worker.start()
    try:
        while len(said) < 5:
            pass
        kept = restore(worked, name)
        count = len(said)
        while len(said) < count + 5:
            pass
    finally:
        stop.set()
        worker.join()
    with ProjectStore.open(worked) as store:
        assert store.setting("number") == said[-1]
    other = worked.with_name("kept.segmix")
    other.mkdir()
    shutil.copy(kept, other / "project.sqlite")
    with ProjectStore.open(other) as store:
        assert said[0] <= store.setting("number") <= said[-1]
    assert find_faults(worked) == ()


def test_a_project_that_cannot_be_read_now_is_not_moved(
    worked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = snapshot(worked)
    monkeypatch.setattr(opening, "BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(worked / "project.sqlite")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ProjectError, match="locked"):
            restore(worked, name)
    assert not list((worked / "snapshots").glob("damaged*"))
    execute_version(worked, 99)
    with pytest.raises(ProjectError, match="newer version"):
        restore(worked, name)
    assert (worked / "project.sqlite").exists()


def execute_version(path: Path, version: int) -> None:
    change(path, f"PRAGMA user_version = {version}")


def test_a_restore_that_fails_puts_the_files_back(
    worked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = snapshot(worked)
    (worked / "project.sqlite").write_text("broken")

    def fail(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr("segmix_core.project.restore.copy_database", fail)
    with pytest.raises(ProjectError, match="Nothing was restored"):
        restore(worked, name)
    assert (worked / "project.sqlite").read_text() == "broken"


def test_a_snapshot_that_fails_holds_up_no_label(worked: Path) -> None:
    with ProjectStore.open(worked) as store:
        (worked / "snapshots").write_text("a file where the folder should be")
        assert store.set_labels(np.array([1]), np.array([[0, 0, 0]], np.int8))


def test_a_snapshot_without_a_write_ahead_log(
    worked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on network drives: the copy is made before the change, not beside it."""
    change(worked, "PRAGMA journal_mode = DELETE")
    monkeypatch.setattr(opening, "BUSY_SECONDS", 0.2)
    with ProjectStore.open(worked) as store:
        store._database._connection.execute("PRAGMA journal_mode = DELETE")
        assert store.set_labels(np.array([1]), np.array([[0, 0, 0]], np.int8))
        assert len(list_snapshots(worked)) == 1


def test_a_damaged_number_in_the_journal(worked: Path) -> None:
    wanted = state(worked)
    change(worked, "UPDATE journal SET id = 9000000000 WHERE id = 8")
    report = repair(worked)
    assert any("invalid number" in text for text in report.lost)
    assert state(report.path) == wanted
