import sys
import time
from dataclasses import replace

import psutil
import pytest

from segmix_core.errors import JobError
from segmix_core.events import Progress, StageEnded, StageStarted
from segmix_core.process_mark import mark_process
from segmix_core.runs import RunFolder, RunState, follow, kill, launch
from segmix_core.runs.launch import job_command, job_environment, thread_count
from segmix_core.runs.status import RunStatus
from segmix_core.runs.writer import write_status


def run(folder):
    return [event for events in follow(folder, 0.02) for event in events]


def test_a_run_goes_from_created_to_completed(folder, start, wait_until):
    assert folder.state() is RunState.CREATED
    pid = start("count")
    events = run(folder)
    assert folder.state() is RunState.COMPLETED
    assert isinstance(events[0], StageStarted)
    assert isinstance(events[-1], StageEnded)
    assert events[-1].results == {"steps": 10}
    assert [e.step for e in events if isinstance(e, Progress)] == list(range(1, 11))
    wait_until(lambda: folder.status().state is not RunState.RUNNING)
    status = folder.status()
    assert (status.pid, status.step, status.total) == (pid, 10, 10)


def test_stop_is_honored_and_the_run_can_be_resumed(folder, start, wait_until):
    folder.request_stop()
    start("count")
    run(folder)
    assert folder.state() is RunState.COMPLETED  # launch removed the old request
    start("wait")
    for events in follow(folder, 0.02, folder.status().events_from):
        if any(isinstance(event, Progress) for event in events):
            folder.request_stop()
    assert folder.state() is RunState.CANCELED
    assert folder.ended().message == "Stopped as asked."
    wait_until(lambda: folder.status().state is not RunState.RUNNING)
    step = folder.status().checkpoint_step
    assert step > 0

    start("deaf")
    assert folder.status().checkpoint_step == step
    kill(folder, grace_seconds=0)
    ends = [event for event in folder.events()[0] if isinstance(event, StageEnded)]
    assert [end.reason for end in ends] == ["completed", "canceled"]


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ("user_error", "There are no labels. Label some tiles."),
        ("bug", "Unexpected error: RuntimeError: a bug"),
    ],
)
def test_a_failure_says_why_and_logs_where(folder, start, stage, message, wait_until):
    start(stage)
    assert run(folder)[-1].text == message
    assert folder.state() is RunState.FAILED
    wait_until(lambda: folder.status().message == message)
    assert "Traceback" in folder.log_path.read_text()
    assert message.rsplit(": ", 1)[-1] in folder.log_tail(1)


def test_a_death_in_the_middle_of_a_line_is_an_interruption(folder, start):
    start("die")
    events = run(folder)
    assert [event.kind for event in events] == ["started"]
    assert folder.state() is RunState.INTERRUPTED
    start("count")
    events = run(folder)
    assert folder.state() is RunState.COMPLETED
    assert [event.kind for event in events[:2]] == ["started", "started"]


def test_a_process_that_never_speaks_is_a_failure_with_the_last_log_line(folder):
    launch(folder, command=[sys.executable, "-c", "raise SystemExit('no segmix here')"])
    ended = run(folder)[-1]
    assert folder.state() is RunState.FAILED
    assert ended.message == (
        "The process ended with exit code 1 before it began: no segmix here"
    )


def test_an_interpreter_that_is_not_there_is_an_error(folder, tmp_path):
    with pytest.raises(JobError, match="segmix doctor"):
        launch(folder, python=tmp_path / "no-python")
    assert folder.state() is RunState.CREATED


def test_a_running_run_is_not_started_again(folder, start):
    start("deaf")
    with pytest.raises(JobError, match="is already running"):
        start("count")
    kill(folder, grace_seconds=0)


def test_kill_lets_the_process_save_itself(folder, start, wait_until):
    pid = start("wait")
    wait_until(lambda: folder.status().step > 0)
    kill(folder, grace_seconds=10)
    assert folder.state() is RunState.CANCELED
    assert not psutil.pid_exists(pid)


def test_kill_ends_a_deaf_process(folder, start):
    pid = start("deaf")
    kill(folder, grace_seconds=0.1)
    assert folder.state() is RunState.INTERRUPTED
    assert not psutil.pid_exists(pid)
    kill(folder)  # Nothing left to do.


def test_kill_leaves_other_machines_alone(folder):
    mark = replace(mark_process(), pid=1, host="elsewhere")
    status = RunStatus(state=RunState.RUNNING, process=mark, heartbeat=time.time())
    write_status(folder, status)
    with pytest.raises(JobError, match="running on elsewhere"):
        kill(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no init process")
def test_kill_tells_when_the_system_refuses(folder, monkeypatch):
    def refuse(process):
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil.Process, "terminate", refuse)
    status = RunStatus(state=RunState.RUNNING, process=mark_process())
    write_status(folder, status)
    with pytest.raises(JobError, match="cannot be killed"):
        kill(folder)
    write_status(folder, replace(status, state=RunState.CANCELED))


def test_the_environment_has_no_qt_and_few_threads(request_of):
    given = {"QT_API": "pyqt6", "HOME": "somewhere", "OMP_NUM_THREADS": "64"}
    made = job_environment(given, request_of(config={"machine": {"threads": 3}}))
    assert "QT_API" not in made
    assert made["HOME"] == "somewhere"
    assert made["OMP_NUM_THREADS"] == made["MKL_NUM_THREADS"] == "3"
    assert made["OMP_WAIT_POLICY"] == "passive"
    assert "OMP_WAIT_POLICY" not in given
    assert made["PYTHONUTF8"] == "1"


def test_one_core_stays_free():
    cores = psutil.cpu_count()
    assert 1 <= thread_count({}) <= max(1, cores - 1)
    assert thread_count({"machine": {"threads": 7}}) == 7


def test_the_command_does_not_import_from_the_run_folder(folder):
    line = job_command("train", folder, "python3")
    assert line == ["python3", "-P", "-m", "segmix_core", "train", str(folder.path)]


def test_the_real_program_runs_from_any_folder(tmp_path, request_of):
    # The module that would shadow a real one lies where the process works.
    folder = RunFolder.create(tmp_path, request_of("nonsense"))
    (folder.path / "torch.py").write_text("raise SystemExit('shadowed')")
    launch(folder)
    ended = run(folder)[-1]
    assert ended.results["error"] == "JobError"
    assert "'nonsense'" in ended.message
    assert ended.results["message"] == ended.message
    assert ended.text == f"{ended.message} {ended.hint}"
