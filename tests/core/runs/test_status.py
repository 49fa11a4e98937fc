import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest

from segmix_core import process_mark
from segmix_core.process_mark import current_boot, mark_process
from segmix_core.runs.status import (
    RunState,
    RunStatus,
    is_alive,
    status_from_json,
    status_to_json,
)

LOST = RunStatus(state=RunState.RUNNING)


@pytest.fixture
def alive():
    return RunStatus(
        state=RunState.RUNNING, process=mark_process(), heartbeat=time.time() - 1000
    )


def marked(status, **changes):
    return replace(status, process=replace(status.process, **changes))


def test_a_status_comes_back_and_unknown_fields_are_skipped(alive):
    content = json.loads(json.dumps(status_to_json(alive) | {"mood": "good"}))
    assert status_from_json(content) == alive


@pytest.mark.parametrize(
    "change",
    [
        {"state": "asleep"},
        {"state": ["running"]},
        {"step": -1},
        {"step": 10**30},
        {"events_from": -5},
        {"heartbeat": float("nan")},
        {"heartbeat": float("inf")},
        {"seconds_left": "soon"},
        {"message": {"a": 1}},
        {"process": 7},
        {"process": {"pid": -1, "since_boot": 1, "boot": "", "host": ""}},
        {"process": {"pid": 2**31, "since_boot": 1, "boot": "", "host": ""}},
        {"process": {"pid": 7}},
    ],
)
def test_a_field_of_another_kind_makes_it_no_status(alive, change):
    assert status_from_json(status_to_json(alive) | change) == LOST


@pytest.mark.parametrize("content", [None, [], 3, "running", {}, {"step": 2}])
def test_other_json_is_no_status(content):
    assert status_from_json(content) == LOST


@pytest.mark.parametrize("seconds", [-1e6, -1000, 1000, 1e6])
def test_the_process_counts_whatever_the_clock_says(alive, seconds):
    status = replace(alive, heartbeat=time.time() + seconds)
    assert is_alive(status)
    gone = marked(status, since_boot=status.process.since_boot + 60)
    assert not is_alive(gone)


def test_another_process_with_the_same_pid_is_not_the_run(alive):
    reused = marked(alive, since_boot=alive.process.since_boot - 60)
    assert not is_alive(replace(reused, heartbeat=time.time()))


def test_a_process_that_ended_is_dead_even_as_a_zombie(alive):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    status = replace(alive, process=mark_process(process.pid), heartbeat=time.time())
    assert is_alive(status)
    process.stdin.close()
    deadline = time.monotonic() + 10
    while is_alive(status) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(status)
    process.wait()
    assert not is_alive(status)
    with pytest.raises(psutil.NoSuchProcess):
        mark_process(process.pid)


def test_no_process_of_before_the_system_started_is_alive(alive):
    assert not is_alive(marked(alive, boot="0-0-0/1"))
    assert not is_alive(replace(marked(alive, boot="0-0/1"), heartbeat=time.time()))


@pytest.mark.parametrize("change", [{"host": "elsewhere"}, {"boot": "container"}])
def test_where_the_process_is_unknown_a_heartbeat_of_now_counts(alive, change):
    if "boot" in change:
        change = {"boot": f"{current_boot().partition('/')[0]}/1"}
    status = marked(alive, **change)
    assert not is_alive(status)
    assert is_alive(replace(status, heartbeat=time.time()))
    assert not is_alive(replace(status, heartbeat=time.time() + 1000))


def test_a_launched_process_counts_until_it_speaks(alive):
    launched = replace(alive, process=None, launched=alive.process)
    assert is_alive(launched)
    gone = replace(alive.process, since_boot=0.0)
    now = time.time()
    assert not is_alive(replace(launched, launched=gone, heartbeat=now))
    assert not is_alive(replace(launched, launched=None, heartbeat=now))


def test_a_process_we_may_not_ask_is_judged_by_its_heartbeat(alive, monkeypatch):
    def refuse(process):
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil.Process, "status", refuse)
    assert not is_alive(alive)
    assert is_alive(replace(alive, heartbeat=time.time()))


def test_a_process_that_the_system_hides_is_judged_by_its_heartbeat(alive, monkeypatch):
    def hide(process):
        raise psutil.NoSuchProcess(process.pid)

    monkeypatch.setattr(psutil.Process, "status", hide)
    monkeypatch.setattr(psutil, "pids", lambda: [])
    assert alive.process.pid == os.getpid()
    assert is_alive(replace(alive, heartbeat=time.time()))
    assert not is_alive(alive)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such file")
def test_a_system_that_does_not_name_its_start_has_none(monkeypatch):
    def fail(*_args, **_options):
        raise OSError

    process_mark.current_boot.cache_clear()
    monkeypatch.setattr(process_mark.Path, "read_text", fail)
    assert process_mark.current_boot() == ""
    process_mark.current_boot.cache_clear()
