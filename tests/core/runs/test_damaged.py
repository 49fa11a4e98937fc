"""Run folders that somebody else made, or that a disk has damaged."""

import json
import os
import sys

import pytest

from segmix_core.errors import JobError
from segmix_core.runs import (
    RunFolder,
    RunState,
    RunStatus,
    find_latest,
    find_run,
    list_runs,
    scan_runs,
)
from segmix_core.runs.outdated import find_outdated
from segmix_core.runs.writer import RunWriter, write_status


@pytest.fixture
def runs(tmp_path, request_of):
    """A completed run, the only one that is whole."""
    whole = RunFolder.create(tmp_path / "runs", request_of(created=1e9))
    write_status(whole, RunStatus(state=RunState.COMPLETED))
    return tmp_path / "runs"


def copy(runs, **changes):
    """Make a damaged run after the whole one."""
    (whole,) = list_runs(runs)
    content = json.loads((whole.path / "config.json").read_text())
    content = content | {"created": 2e9} | changes
    folder = runs / "b_train"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(content))
    return folder


def check(runs, reason):
    """The damaged run is listed with its reason, and hides nothing."""
    scan = scan_runs(runs)
    assert [run.reason for run in scan.damaged] == [reason]
    assert len(scan.runs) == 1
    assert find_latest(runs, "train") == scan.runs[0]
    damaged = RunFolder(scan.damaged[0].path)
    assert find_outdated([*scan.runs, damaged], {"labels": 9}) == set(scan.runs)
    with pytest.raises(JobError, match="is damaged"):
        damaged.request()
    with pytest.raises(JobError, match="The newest runs are"):
        find_run(runs, "none")
    assert isinstance(damaged.state(), RunState)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 0}, "its config.json has an invalid value of version"),
        ({"version": "1"}, "its config.json has an invalid value of version"),
        ({"stage": "../x"}, "its config.json has an invalid value of stage"),
        ({"stage": "train\n"}, "its config.json has an invalid value of stage"),
        ({"stage": 3}, "its config.json has an invalid value of stage"),
        ({"project": "a\0b"}, "its config.json has an invalid value of project"),
        ({"project": ["a"]}, "its config.json has an invalid value of project"),
        ({"config": []}, "its config.json has an invalid value of config"),
        (
            {"config": {"machine": 3}},
            "its config.json has an invalid value of config.machine",
        ),
        (
            {"inputs": {"train": 3}},
            "its config.json has an invalid value of inputs.train",
        ),
        (
            {"inputs": {"a\u001b": 3}},
            r"its config.json has an invalid value of inputs.a\x1b",
        ),
        ({"options": "all"}, "its config.json has an invalid value of options"),
        ({"revision": -1}, "its config.json has an invalid value of revision"),
        ({"created": -1}, "its config.json has an invalid value of created"),
        ({"created": 1e17}, "its config.json has an invalid value of created"),
        ({"created": None}, "its config.json has an invalid value of created"),
    ],
)
def test_a_field_of_another_kind(runs, changes, reason):
    copy(runs, **changes)
    check(runs, reason)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is not JSON"),
        (b"\xff\xfe", "it is not JSON"),
        (b'{"version": 1', "it is not JSON"),
        (b"[" * 100000, "it is nested deeper than 64 levels"),
        (b'{"version": ' + b"1" * 1000000 + b"}", "a number has more than 18 digits"),
        (b'{"created": NaN}', "NaN is not a finite number"),
        (b'{"created": 1e999}', "1e999 is not a finite number"),
        (b'{"created": 1}' + b" " * (1 << 24), "it is larger than 16.8 MB"),
    ],
)
def test_what_is_no_json(runs, content, reason):
    (copy(runs) / "config.json").write_bytes(content)
    check(runs, f"its config.json cannot be read: {reason}")


@pytest.mark.parametrize("content", [b"[]", b"3", b'"a"', b"null"])
def test_json_of_another_kind(runs, content):
    (copy(runs) / "config.json").write_bytes(content)
    check(runs, "its config.json has no valid settings")


def test_json_without_a_field(runs):
    (copy(runs) / "config.json").write_bytes(b"{}")
    check(runs, "its config.json has no version")


def test_an_empty_folder(runs):
    (runs / "a\nb").mkdir()
    check(runs, "it has no config.json")


def test_a_file(runs):
    (runs / "notes.txt").write_text("")
    check(runs, "it is not a folder")


def test_a_folder_for_a_file(runs):
    config = copy(runs) / "config.json"
    config.unlink()
    config.mkdir()
    check(runs, "it cannot be read (config.json is not a file)")


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
class TestLinks:
    def test_to_a_run_elsewhere(self, runs, tmp_path):
        copy(runs).rename(tmp_path / "elsewhere")
        (runs / "b").symlink_to(tmp_path / "elsewhere")
        check(runs, "it is a symbolic link")

    def test_to_itself(self, runs):
        (runs / "b").symlink_to(runs / "b")
        check(runs, "it is a symbolic link")

    @pytest.mark.parametrize("name", ["config.json", "checkpoints", "x"])
    def test_inside_a_run(self, runs, tmp_path, name):
        folder = copy(runs)
        (folder / "config.json").rename(tmp_path / "config.json")
        (folder / name).symlink_to(tmp_path / "config.json")
        check(runs, f"it contains the symbolic link {name}")

    def test_in_place_of_all_runs(self, runs, tmp_path, request_of):
        link = tmp_path / "link"
        link.symlink_to(runs)
        assert [run.reason for run in scan_runs(link).damaged] == [
            "it is a symbolic link"
        ]
        with pytest.raises(JobError, match="it is a symbolic link"):
            RunFolder.create(link, request_of())


def test_events_that_cannot_be_read(runs):
    (copy(runs) / "events.jsonl").mkdir()
    check(runs, "its events.jsonl cannot be read")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
def test_a_pipe_for_a_file(runs):
    config = copy(runs) / "config.json"
    config.unlink()
    os.mkfifo(config)
    check(runs, "it cannot be read (config.json is not a file)")


def test_a_folder_that_may_not_be_read(runs, monkeypatch):
    closed, scandir = copy(runs), os.scandir

    def refuse(path):
        if path == closed:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    check(runs, "it cannot be read (Permission denied)")


def test_all_runs_that_may_not_be_read(runs, tmp_path):
    (found,) = scan_runs(runs / next(iter(runs.iterdir())).name / "config.json").damaged
    assert found.reason == "it cannot be read (Not a directory)"


def test_hidden_files_and_runs_in_runs_are_not_listed(runs, request_of):
    (runs / ".DS_Store").write_text("")
    (whole,) = list_runs(runs)
    RunFolder.create(whole.path, request_of())
    assert scan_runs(runs).runs == (whole,)
    assert scan_runs(runs).damaged == ()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b'{"state": "running"}']
)
@pytest.mark.parametrize("events", [b"", b"garbage", b"\x00" * 1000, b"{" * 1000])
def test_a_damaged_status_of_nobody_is_not_running(runs, content, events):
    (whole,) = list_runs(runs)
    whole.status_path.write_bytes(content)
    whole.events_path.write_bytes(events)
    assert whole.state() is RunState.INTERRUPTED


def test_a_copy_of_a_folder_at_work_is_not_at_work(runs, tmp_path):
    (whole,) = list_runs(runs)
    with RunWriter(whole):
        assert whole.state() is RunState.RUNNING
        other = RunFolder(tmp_path / "copy")
        other.path.mkdir()
        for name in ("config.json", "status.json"):
            (other.path / name).write_bytes((whole.path / name).read_bytes())
        assert other.state() is RunState.INTERRUPTED
        moved = RunFolder(tmp_path / "moved")
        whole.path.rename(moved.path)
        assert moved.state() is RunState.RUNNING
        moved.path.rename(whole.path)


def test_a_folder_that_cannot_be_made_leaves_nothing(runs, request_of):
    request = request_of(options={"image_ids": object()})
    with pytest.raises(TypeError):
        RunFolder.create(runs, request)
    assert len(list(runs.iterdir())) == 1
