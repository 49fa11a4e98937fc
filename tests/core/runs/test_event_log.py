import os
import sys
from contextlib import closing
from pathlib import Path

import pytest

from segmix_core.errors import JobError
from segmix_core.events import Progress, SettingFitted, StageEnded, Warned
from segmix_core.runs import event_log
from segmix_core.runs.event_log import EventAppender, last_event, read_events


def append(path, *events):
    with closing(EventAppender(path)) as log:
        for event in events:
            log.append(event)


def said(path, offset=0):
    return [event.message for event in read_events(path, offset)[0]]


def test_events_are_read_from_where_reading_ended(tmp_path):
    path = tmp_path / "events.jsonl"
    assert read_events(path) == ([], 0)
    append(path, Warned(message="größer"))
    first, offset = read_events(path)
    assert [event.message for event in first] == ["größer"]
    append(path, Warned(message="b"), Warned(message="c"))
    assert said(path, offset) == ["b", "c"]
    assert read_events(path, path.stat().st_size) == ([], path.stat().st_size)


def test_a_curve_comes_back_as_it_was(tmp_path):
    path = tmp_path / "events.jsonl"
    fitted = SettingFitted(
        setting="pseudo_masks.gate",
        target="gland",
        value=0.41,
        measure="F1",
        score=0.9,
        tiles=12,
        curve=[[0.4, 0.9], [0.5, 0.7]],
    )
    append(path, fitted)
    assert read_events(path)[0] == [fitted]


def test_a_line_that_is_still_written_waits_for_its_end(tmp_path):
    path = tmp_path / "events.jsonl"
    append(path, Warned(message="a"))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:-5])
    assert read_events(path)[1] == len(whole)
    path.write_bytes(whole + whole)
    assert said(path, len(whole)) == ["a"]


@pytest.mark.parametrize("cut", [1, 2, 10, 40])
def test_a_torn_line_is_ended_by_the_next_writer_and_skipped(tmp_path, cut):
    path = tmp_path / "events.jsonl"
    append(path, Warned(message="a"), Warned(message="lost"))
    path.write_bytes(path.read_bytes()[:-cut])
    append(path, Warned(message="b"))
    # Without its line end alone the torn line is still whole.
    assert said(path) == (["a", "lost", "b"] if cut == 1 else ["a", "b"])


def test_what_is_no_event_is_skipped(tmp_path):
    path = tmp_path / "events.jsonl"
    noise = b'12\n{"event": "of the future"}\n{"event": "warning"}\n\xff\xfe\n{"a\n\n'
    path.write_bytes(noise)
    append(path, Warned(message="a"))
    assert said(path) == ["a"]


def test_reading_in_pieces_gives_the_same(tmp_path):
    path = tmp_path / "events.jsonl"
    append(path, *(Progress(step=step, total=50) for step in range(50)))
    steps, offset = [], 0
    while True:
        events, reached = read_events(path, offset, max_bytes=30)
        if reached == offset:
            break
        steps += [event.step for event in events]
        offset = reached
    assert steps == list(range(50))


def test_the_last_event_is_found_behind_noise(tmp_path):
    path = tmp_path / "events.jsonl"
    assert last_event(path) == (None, 0)
    path.write_bytes(b"noise\n")
    assert last_event(path) == (None, 0)
    append(path, Warned(message="a"))
    position = path.stat().st_size
    end = StageEnded(reason="completed", results={"score": 0.5})
    append(path, end)
    path.write_bytes(path.read_bytes() + b"noise\n" * 3 + b'{"torn')
    assert last_event(path) == (end, position)


def test_a_last_event_with_large_results_is_found(tmp_path):
    path = tmp_path / "events.jsonl"
    append(path, Warned(message="a"))
    position = path.stat().st_size
    end = StageEnded(reason="completed", results={"matrix": [0.5] * 50_000})
    append(path, end)
    assert last_event(path) == (end, position)


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path):
    with pytest.raises(JobError, match=r"resume the run\."):
        EventAppender(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a device that is full")
def test_a_full_disk_is_an_error(tmp_path):
    path = tmp_path / "events.jsonl"
    with (
        closing(EventAppender(path)) as log,
        Path("/dev/full").open("ab", buffering=0) as full,
        closing(log._file),
    ):
        log._file = full
        with pytest.raises(JobError, match="No space left on device"):
            log.append(Warned(message="a"))


def test_a_line_longer_than_any_event_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(event_log, "MAX_LINE_BYTES", 1 << 12)
    path = tmp_path / "events.jsonl"
    line = b'{"event": "warning", "message": "' + b"x" * 20000 + b'"}\n'
    path.write_bytes(line + b'{"event": "warning", "message": "b"}\n')
    found, offset = [], 0
    for _ in range(20):
        events, offset = read_events(path, offset, 1 << 10)
        found += events
    assert [event.message for event in found] == ["b"]
    assert offset == path.stat().st_size


@pytest.mark.parametrize(
    "line",
    [
        b"garbage",
        b"\xff\xfe\x00",
        b"{" * 100000,
        b"[" * 100000,
        b'{"event": ["warning"]}',
        b'{"event": "warning", "message": 3}',
        b'{"event": "progress", "step": -1, "total": 3}',
        b'{"event": "progress", "step": 1, "total": 3, "seconds_left": NaN}',
        b'{"event": "progress", "step": ' + b"9" * 10000 + b', "total": 3}',
        b'{"event": "ended", "reason": "bored"}',
        b'{"event": "ended", "reason": "completed", "results": []}',
        b'{"event": "warning", "message": "a", "time": 1e999}',
    ],
)
def test_a_line_that_is_no_event_is_passed_over(tmp_path, line):
    path = tmp_path / "events.jsonl"
    good = b'{"event": "warning", "message": "b"}\n'
    path.write_bytes(good + line + b"\n" + good + line + b"\n")
    assert [event.message for event in read_events(path)[0]] == ["b", "b"]
    assert last_event(path)[0].message == "b"


def test_what_is_no_file_has_no_events(tmp_path):
    folder = tmp_path / "events.jsonl"
    folder.mkdir()
    assert read_events(folder) == ([], 0)
    assert last_event(folder) == (None, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    pipe = tmp_path / "events.jsonl"
    os.mkfifo(pipe)
    assert read_events(pipe) == ([], 0)
    with pytest.raises(JobError, match="is not a file"):
        EventAppender(pipe)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_nothing_is_appended_through_a_link(tmp_path):
    target = tmp_path / "profile"
    target.write_text("mine")
    (tmp_path / "events.jsonl").symlink_to(target)
    with pytest.raises(JobError, match="cannot be written"):
        EventAppender(tmp_path / "events.jsonl")
    assert target.read_text() == "mine"


def test_a_name_that_is_not_utf8_comes_back(tmp_path):
    path = tmp_path / "events.jsonl"
    with closing(EventAppender(path)) as log:
        log.append(Warned(message="a\udcff.tif"))
    assert last_event(path)[0].message == "a\udcff.tif"
