"""The executor that is used in napari, with real threads."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from napari_segmix.executor import ThreadExecutor


@pytest.fixture
def executor(qtbot: Any) -> Iterator[ThreadExecutor]:
    executor = ThreadExecutor()
    yield executor
    executor.close()


def test_results_come_to_the_window(executor: ThreadExecutor, qtbot: Any) -> None:
    threads: list[threading.Thread] = []
    results: list[tuple[threading.Thread, int]] = []

    def work() -> int:
        threads.append(threading.current_thread())
        return 7

    executor.submit(
        work, on_done=lambda v: results.append((threading.current_thread(), v))
    )
    qtbot.waitUntil(lambda: bool(results))
    assert results == [(threading.main_thread(), 7)]
    assert threads != [threading.main_thread()]


def test_a_generator_yields_and_returns(executor: ThreadExecutor, qtbot: Any) -> None:
    seen: list[object] = []

    def work() -> Iterator[int]:
        yield 1
        yield 2
        return "end"

    executor.submit(work, on_yield=seen.append, on_done=seen.append)
    qtbot.waitUntil(lambda: "end" in seen)
    assert seen == [1, 2, "end"]


def test_errors_are_delivered_not_raised(executor: ThreadExecutor, qtbot: Any) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        raise ValueError("no")

    executor.submit(work, on_error=errors.append)
    qtbot.waitUntil(lambda: bool(errors))
    assert str(errors[0]) == "no"


def test_nothing_is_delivered_after_close(executor: ThreadExecutor, qtbot: Any) -> None:
    started, may_go, gone = (threading.Event() for _ in range(3))
    seen: list[object] = []

    def work() -> Iterator[int]:
        started.set()
        may_go.wait(20)
        gone.set()
        yield 1

    executor.submit(work, on_yield=seen.append, on_done=seen.append)
    assert started.wait(20)
    executor.close()
    may_go.set()
    assert gone.wait(20)
    qtbot.wait(100)
    assert seen == []
