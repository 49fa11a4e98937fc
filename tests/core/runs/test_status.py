import os
import platform
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest

from segmix_core.runs.status import (
    RunState,
    RunStatus,
    is_alive,
    status_from_json,
    status_to_json,
)


@pytest.fixture
def alive():
    return RunStatus(
        state=RunState.RUNNING,
        pid=os.getpid(),
        host=platform.node(),
        process_started=psutil.Process().create_time(),
        heartbeat=time.time() - 1000,
    )


def test_a_status_comes_back_and_unknown_fields_are_skipped(alive):
    content = status_to_json(alive) | {"mood": "good"}
    assert status_from_json(content) == alive


def test_the_process_counts_not_its_heartbeat(alive):
    assert is_alive(alive)


def test_another_process_with_the_same_pid_is_not_the_run(alive):
    reused = replace(alive, process_started=alive.process_started - 60)
    assert not is_alive(reused)
    assert is_alive(replace(reused, heartbeat=time.time()))


def test_a_process_that_ended_is_dead_even_as_a_zombie(alive):
    process = subprocess.Popen([sys.executable, "-c", ""])
    started = psutil.Process(process.pid).create_time()
    status = replace(alive, pid=process.pid, process_started=started)
    deadline = time.monotonic() + 10
    while is_alive(status) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(status)
    process.wait()
    assert not is_alive(status)


@pytest.mark.parametrize("change", [{"host": "elsewhere"}, {"pid": None}])
def test_where_the_process_is_unknown_the_heartbeat_counts(alive, change):
    status = replace(alive, **change)
    assert not is_alive(status)
    assert is_alive(replace(status, heartbeat=time.time()))


def test_a_process_we_may_not_ask_is_judged_by_its_heartbeat(alive, monkeypatch):
    def refuse(process):
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil.Process, "status", refuse)
    assert not is_alive(alive)
    assert is_alive(replace(alive, heartbeat=time.time()))
