"""Verify, repair, snapshots and restore by command."""

import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from segmix_core.project.store import ProjectStore


def damage(project, statement="UPDATE tile SET labels = x'0100' WHERE id = 1"):
    with closing(sqlite3.connect(project / "project.sqlite")) as connection:
        connection.execute(statement)
        connection.commit()


def test_a_sound_project(project, segmix, answer):
    assert answer("verify", project) == (0, {"sound": True, "faults": []})
    assert "No problems found" in segmix("verify", project).stdout


def test_a_damaged_project_is_told_and_repaired(tmp_path, project, segmix, answer):
    with ProjectStore.open(project) as store:
        store.set_labels(np.array([1, 2]), np.array([[1, 1], [0, 0]], np.int8))
        wanted = store.tiles().labels
    damage(project)
    code, said = answer("verify", project)
    assert (code, said["sound"]) == (2, False)
    assert "labels does not match the entry" in said["faults"][0]
    assert "segmix repair" in segmix("verify", project).stdout
    target = tmp_path / "mended.segmix"
    code, said = answer("repair", project, "--to", target)
    assert (code, said["lost"], said["tiles"]) == (0, [], 4)
    assert answer("verify", target)[0] == 0
    with ProjectStore.open(target) as store:
        assert np.array_equal(store.tiles().labels, wanted)
    code, said = answer("repair", project, "--to", target)
    assert code == 2
    assert "already exists" in said["message"]


def test_what_could_not_be_read_is_told(project, segmix):
    damage(project, "DELETE FROM part WHERE id = 2")
    found = segmix("repair", project)
    assert found.exit_code == 2
    assert "parts of entries of the journal are missing" in found.stderr


def test_snapshots_are_listed_and_restored(project, segmix, answer):
    # Adding was the first change; importing labels took a snapshot of it.
    for path in (project / "snapshots").iterdir():
        path.unlink()
    assert answer("snapshots", project) == (0, {"snapshots": [], "kept": []})
    assert "no snapshots yet" in segmix("snapshots", project).stdout
    with ProjectStore.open(project) as store:
        before = store.tiles().labels
        store.set_labels(np.array([1, 2]), np.array([[1, 1], [0, 0]], np.int8))
        after = store.tiles().labels
    code, said = answer("snapshots", project)
    (only,) = said["snapshots"]
    assert (code, only["bytes"] > 4096) == (0, True)
    assert only["name"] in segmix("snapshots", project).stdout
    code, said = answer("restore", project, only["name"])
    assert code == 0
    with ProjectStore.open(project) as store:
        assert np.array_equal(store.tiles().labels, before)
    assert answer("restore", project, "before-restore-none")[0] == 2
    kept = said["kept"].rpartition("/")[2].removesuffix(".sqlite")
    assert "is kept in" in segmix("restore", project, kept).stdout
    with ProjectStore.open(project) as store:
        assert np.array_equal(store.tiles().labels, after)
    code, listed = answer("snapshots", project)
    sizes = {copy["path"]: copy["bytes"] for copy in listed["kept"]}
    assert sizes[said["kept"]] > 4096
    told = segmix("snapshots", project).stdout
    assert "Delete those you no longer need" in told
    assert said["kept"] in told.replace("\n", "")


def test_a_file_in_the_place_of_the_snapshots(project, answer):
    shutil.rmtree(project / "snapshots")
    (project / "snapshots").write_text("mine")
    code, said = answer("snapshots", project)
    assert code == 2
    assert "snapshots is a file" in said["message"]


@pytest.mark.parametrize("command", ["verify", "repair", "snapshots", "status"])
def test_no_project_there(tmp_path, answer, command):
    code, said = answer(command, tmp_path / "none")
    if command == "snapshots":
        assert (code, said) == (0, {"snapshots": [], "kept": []})
    else:
        assert code == 2
        assert str(tmp_path / "none") in said["message"]
