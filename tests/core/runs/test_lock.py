import errno
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from segmix_core.errors import JobError
from segmix_core.runs import RunState, RunWriter, kill
from segmix_core.runs import lock as lock_module
from segmix_core.runs.child import EXIT_COMPLETED
from segmix_core.runs.launch import check_not_running
from segmix_core.runs.lock import locked

STAGES = Path(__file__).parent / "stages.py"


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(lock_module, "LOCK_SECONDS", 0.1)


def by_hand(folder, stage):
    command = [sys.executable, str(STAGES), stage, str(folder.path)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def test_of_many_launches_at_once_one_starts_the_run(folder, start):
    def attempt(_):
        try:
            return start("deaf")
        except JobError as error:
            return error.message.endswith("is already running.")

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(attempt, range(6)))
    assert answers.count(True) == 5
    kill(folder, grace_seconds=0)


def test_of_two_processes_started_by_hand_at_once_one_works(folder, wait_until):
    processes = [by_hand(folder, "wait") for _ in range(2)]
    wait_until(lambda: any(process.poll() is not None for process in processes))
    (refused,) = (process for process in processes if process.poll() is not None)
    (at_work,) = (process for process in processes if process.poll() is None)
    assert re.search(
        rb"JobError: .* (already running|has just started)", refused.stderr.read()
    )
    assert folder.status().pid == at_work.pid
    folder.request_stop()
    at_work.wait(20)
    assert folder.state() is RunState.CANCELED
    for process in processes:
        process.stderr.close()


def test_the_lock_of_a_killed_process_is_free(folder, start, wait_until):
    pid = start("deaf")
    wait_until(lambda: folder.status().pid == pid)
    psutil.Process(pid).kill()
    wait_until(lambda: folder.state() is RunState.INTERRUPTED)
    again = by_hand(folder, "count")
    assert again.wait(20) == EXIT_COMPLETED
    again.stderr.close()


@pytest.mark.usefixtures("impatient")
def test_a_writer_needs_the_lock_and_gives_it_back(folder):
    with (
        locked(folder.path),
        pytest.raises(JobError, match="has just started a run"),
        RunWriter(folder),
    ):
        pass
    with RunWriter(folder), pytest.raises(JobError), locked(folder.path):
        pass
    with locked(folder.path):
        pass


@pytest.mark.usefixtures("impatient")
def test_helpers_of_a_run_take_no_lock(folder):
    with (
        RunWriter(folder),
        RunWriter(folder, silent=True),
        RunWriter(folder, silent=True),
    ):
        assert folder.state() is RunState.RUNNING


@pytest.mark.usefixtures("impatient")
def test_a_writer_that_cannot_begin_gives_the_lock_back(folder):
    folder.events_path.mkdir()
    with pytest.raises(JobError, match="cannot be written"), RunWriter(folder):
        pass
    with locked(folder.path):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_locks_of_the_file_system_the_status_has_to_do(
    folder, monkeypatch, number
):
    fcntl = pytest.importorskip("fcntl")

    def refuse(file, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(folder.path), RunWriter(folder):
        assert folder.state() is RunState.RUNNING
        with pytest.raises(JobError, match="already running"):
            check_not_running(folder)


def test_a_folder_that_cannot_be_locked_is_one_that_cannot_be_written(folder, start):
    (folder.path / ".lock").mkdir()
    with pytest.raises(OSError, match="lock"), locked(folder.path):
        pass
    for begin in (lambda: start("count"), RunWriter(folder).__enter__):
        with pytest.raises(JobError, match="cannot be written"):
            begin()
    assert folder.state() is RunState.CREATED
