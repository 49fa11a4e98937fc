import os
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from segmix_core.errors import JobError
from segmix_core.events import CheckpointWritten, Progress, StageStarted, Warned
from segmix_core.process_mark import mark_process
from segmix_core.runs import RunState, RunStatus, RunWriter, load_preview
from segmix_core.runs import writer as writer_module
from segmix_core.runs.previews import KEPT
from segmix_core.runs.writer import Pace, write_status


def test_the_status_follows_the_events(folder):
    with RunWriter(folder) as writer:
        assert folder.state() is RunState.RUNNING
        writer.emit(StageStarted(stage="train", total_steps=9, resumed_at=2))
        writer.progress(3, 9, "now")
        writer.emit(CheckpointWritten(step=3, path="checkpoints/last"))
        writer.end("completed", results={"loss": 0.5})
    status = folder.status()
    assert (status.step, status.total, status.message) == (3, 9, "")
    assert (status.state, status.checkpoint_step) == (RunState.COMPLETED, 3)
    assert folder.ended().results == {"loss": 0.5}


def test_the_heart_beats_while_the_work_is_silent(folder, monkeypatch, wait_until):
    monkeypatch.setattr(writer_module, "HEARTBEAT_SECONDS", 0.02)
    with RunWriter(folder) as writer:
        first = folder.status().heartbeat
        wait_until(lambda: folder.status().heartbeat > first)
        writer.end("completed")
    last = folder.status().heartbeat
    time.sleep(0.06)
    assert folder.status().heartbeat == last


def test_a_heart_goes_on_beating_after_a_full_disk(folder, monkeypatch, wait_until):
    monkeypatch.setattr(writer_module, "HEARTBEAT_SECONDS", 0.02)
    failures = []

    def fail(path, content):
        failures.append(path)
        raise OSError(28, "No space left on device")

    with RunWriter(folder) as writer, monkeypatch.context() as patch:
        patch.setattr(writer_module, "write_json", fail)
        wait_until(lambda: len(failures) > 2)
        with pytest.raises(JobError, match="No space left"):
            writer.end("failed")


def test_steps_may_be_told_often_but_are_written_seldom(folder):
    with RunWriter(folder) as writer:
        for step in range(1, 5001):
            writer.progress(step, 5000, "same")
    steps = [e.step for e in folder.events()[0] if isinstance(e, Progress)]
    assert steps[0] == 1
    assert steps[-1] == 5000
    assert len(steps) < 100


def test_a_new_message_is_always_written(folder):
    with RunWriter(folder) as writer:
        for step in range(1, 4):
            writer.progress(step, 100, f"image {step}")
    assert [event.message[-1] for event in folder.events()[0]] == ["1", "2", "3"]


def test_events_of_several_threads_stay_whole(folder):
    with RunWriter(folder) as writer:

        def talk():
            for _ in range(100):
                writer.emit(Warned(message="x" * 300))

        threads = [threading.Thread(target=talk) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(folder.events()[0]) == 400


def test_stop_is_heard_from_a_file_and_from_a_signal(folder):
    with RunWriter(folder) as writer:
        assert not writer.should_stop()
        assert not writer.stopped
        writer.ask_to_stop()
        assert writer.should_stop()
    with RunWriter(folder) as writer:
        folder.request_stop()
        assert writer.should_stop()
        folder.stop_path.unlink()
        assert writer.should_stop()
        assert writer.stopped


def test_previews_come_back_and_only_the_newest_stay(folder):
    cams = np.arange(24, dtype=np.uint8).reshape(1, 2, 3, 4)
    with RunWriter(folder) as writer:
        for step in range(KEPT + 3):
            writer.save_preview(step, "cam", cams=cams, tile_ids=np.array([step]))
        writer.save_preview(
            0,
            "shuffled",
            images=np.zeros((1, 8, 8, 3), np.uint8),
            tile_ids=np.array([3]),
            sources=np.zeros((1, 2, 2), np.int64),
            positions=np.arange(4).reshape(1, 2, 2),
            patch_size=32,
            shuffle_ratio=0.5,
        )
    events = folder.events()[0]
    assert [event.content for event in events] == ["cam"] * (KEPT + 3) + ["shuffled"]
    assert len(list(folder.previews_path.glob("cam_*.npz"))) == KEPT
    newest = load_preview(folder.path / events[-2].path)
    np.testing.assert_array_equal(newest["cams"], cams)
    assert newest["tile_ids"] == [KEPT + 2]
    assert int(load_preview(folder.path / events[-1].path)["patch_size"]) == 32
    with pytest.raises(JobError, match="Wait for the next one"):
        load_preview(folder.path / events[0].path)


def test_a_preview_is_never_pickled(folder):
    with RunWriter(folder) as writer, pytest.raises(TypeError, match="Python objects"):
        writer.save_preview(1, "cam", cams=np.array([{}], dtype=object))
    pickled = folder.path / "evil.npz"
    np.savez(pickled, cams=np.array([{}], dtype=object))
    with pytest.raises(JobError):
        load_preview(pickled)


@pytest.mark.parametrize(
    "change",
    [
        {"images": np.zeros((1, 8, 8, 4), np.uint8)},
        {"images": np.zeros((2, 8, 8, 3), np.uint8)},
        {"images": np.zeros((1, 8, 8, 3), np.uint16)},
        {"images": np.zeros(3, np.uint8)},
        {"sources": np.ones((1, 2, 2), np.int64)},
        {"sources": -np.ones((1, 2, 2), np.int64)},
        {"positions": np.full((1, 2, 2), 4)},
        {"positions": np.zeros((1, 3, 2), np.int64)},
        {"positions": np.zeros((1, 2, 2))},
        {"patch_size": 0},
        {"patch_size": "32"},
        {"cams": np.zeros((2, 2, 3, 4), np.uint8)},
        {"cams": np.zeros((2, 3, 4), np.uint8)},
    ],
)
def test_what_is_no_preview_is_refused(tmp_path, change):
    arrays = {
        "images": np.zeros((1, 8, 8, 3), np.uint8),
        "tile_ids": np.array([3]),
        "sources": np.zeros((1, 2, 2), np.int64),
        "positions": np.arange(4).reshape(1, 2, 2),
        "patch_size": 4,
        "shuffle_ratio": 0.5,
    }
    np.savez(tmp_path / "a.npz", **arrays)
    assert load_preview(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", **(arrays | change))
    with pytest.raises(JobError, match="is not a valid preview"):
        load_preview(tmp_path / "a.npz")


def test_a_preview_without_room_is_an_error(folder):
    folder.previews_path.write_text("in the way")
    with RunWriter(folder) as writer, pytest.raises(JobError, match="File exists"):
        writer.save_preview(1, "cam", cams=np.zeros(1))


def test_room_is_kept_for_the_last_words(folder):
    reserve = folder.path / ".reserve"
    with RunWriter(folder) as writer:
        assert reserve.stat().st_size > 10_000
        writer.end("completed")
        assert not reserve.exists()
    with RunWriter(folder):
        pass
    assert not reserve.exists()


def test_a_run_without_room_does_not_begin(folder, monkeypatch):
    def fail(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer_module, "write_json", fail)
    with pytest.raises(JobError, match="No space left"), RunWriter(folder):
        pass


def test_a_silent_writer_writes_nothing_but_listens(folder):
    before = set(folder.path.iterdir())
    with RunWriter(folder, silent=True) as writer:
        writer.emit(Warned(message="a"))
        writer.progress(1, 2)
        writer.save_preview(1, "cam", cams=np.zeros(1))
        folder.request_stop()
        assert writer.should_stop()
        writer.end("canceled")
    assert set(folder.path.iterdir()) - before == {folder.stop_path}


def test_two_processes_do_not_share_a_folder(folder):
    mark = replace(mark_process(), pid=1, host="elsewhere")
    status = RunStatus(state=RunState.RUNNING, process=mark, heartbeat=time.time())
    write_status(folder, status)
    with pytest.raises(JobError, match="Process 1 on elsewhere"), RunWriter(folder):
        pass
    assert folder.status().pid == 1 != os.getpid()


def test_a_status_that_is_being_read_is_replaced_a_moment_later(folder, monkeypatch):
    real, tries = writer_module.write_json, []

    def busy(path, content):
        tries.append(path)
        if len(tries) < 3:
            raise PermissionError("in use")
        real(path, content)

    monkeypatch.setattr(writer_module, "write_json", busy)
    write_status(folder, RunStatus(step=4))
    assert folder.status().step == 4


def test_the_time_left_follows_the_pace():
    pace = Pace()
    assert pace.seconds_left(0, 100, 0.0) is None
    assert pace.seconds_left(1, 100, 0.5) is None
    assert pace.seconds_left(10, 100, 5.0) == pytest.approx(45.0)
    assert pace.seconds_left(100, 100, 50.0) == 0.0
    assert pace.seconds_left(1, 100, 51.0) is None  # Other work begins.
    assert pace.seconds_left(5, 200, 60.0) is None


def test_a_slow_start_is_forgotten():
    pace = Pace()
    pace.seconds_left(0, 1000, 0.0)
    pace.seconds_left(1, 1000, 100.0)
    for step in range(2, 200):
        left = pace.seconds_left(step, 1000, 100.0 + step)
    assert left == pytest.approx(1000 - 199, rel=0.02)
