import threading
import time
from contextlib import closing

import pytest

from segmix_core.events import Progress, Warned
from segmix_core.process_mark import mark_process
from segmix_core.runs import RunState, RunStatus, RunWriter, follow
from segmix_core.runs.event_log import EventAppender
from segmix_core.runs.writer import write_status


def messages(batches):
    return [
        event.message for batch in batches for event in batch if event.kind != "ended"
    ]


def test_events_arrive_while_they_are_written(folder):
    with RunWriter(folder) as writer:
        watching = follow(folder, 0.01)
        assert next(watching) == []
        writer.emit(Warned(message="a"))
        assert messages([next(watching)]) == ["a"]
        writer.emit(Warned(message="b"))
        writer.end("completed")
        assert messages(watching) == ["b"]


def test_following_can_begin_later(folder):
    with RunWriter(folder) as writer:
        writer.emit(Warned(message="a"))
        offset = folder.events()[1]
        writer.emit(Warned(message="b"))
        writer.end("completed")
    assert messages(follow(folder, 0.01, offset)) == ["b"]


def test_the_end_of_a_former_life_is_not_the_end(folder):
    with RunWriter(folder) as writer:
        writer.end("canceled")
    with RunWriter(folder) as writer:
        watching = follow(folder, 0.01)
        assert [event.reason for event in next(watching)] == ["canceled"]
        writer.emit(Warned(message="again"))
        writer.end("completed")
        assert messages(watching) == ["again"]


def test_a_run_that_never_began_is_over_at_once(folder):
    begun = time.monotonic()
    assert messages(follow(folder, 0.01)) == []
    assert time.monotonic() - begun < 3


def test_the_last_words_of_a_dead_process_are_read(folder):
    write_status(folder, RunStatus(state=RunState.RUNNING, process=mark_process()))
    watching = follow(folder, 0.01)
    assert next(watching) == []
    write_status(folder, RunStatus(state=RunState.INTERRUPTED))
    threading.Timer(0.3, _append, [folder]).start()
    assert messages(watching) == ["last"]


def _append(folder):
    with closing(EventAppender(folder.events_path)) as log:
        log.append(Warned(message="last"))


@pytest.mark.parametrize("lives", [1, 2])
def test_long_stories_come_in_pieces(folder, lives):
    for _ in range(lives):
        with RunWriter(folder) as writer:
            for step in range(15_000):
                writer.emit(Progress(step=step, total=15_000, message="x" * 40))
            writer.end("completed")
    batches = list(follow(folder, 0.01))
    assert len(batches) > 2 * lives
    assert sum(len(batch) for batch in batches) == lives * 15_001
