"""Trainings in processes of their own, several at a time.

Nothing heavy is imported here: a process that starts reads this file first.
"""

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from segmix_core.errors import JobError, SegmixError

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from benchmarks.quality.results import MethodResult
    from benchmarks.quality.training import Training
    from segmix_core.events import Event
    from segmix_core.training.task import Listener

_END_SECONDS = 3.0


def run_side_by_side(
    trainings: Sequence["Training"],
    processes: int,
    listen: "Callable[[Training], Listener]",
) -> Generator["MethodResult", None, None]:
    """Run trainings, up to ``processes`` at a time, and yield results as they come.

    To be called in the main thread. Closing the generator ends the processes. They
    also end when this process does, however it ends.

    Parameters
    ----------
    trainings
        What to run; they are started in this order.
    processes
        How many run at the same time.
    listen
        Makes a listener for each training. It is told of progress; it cannot ask to
        stop.

    Raises
    ------
    SegmixError
        The first of any training.
    JobError
        If a process ends without a word.
    """
    waiting = list(reversed(trainings))
    running: dict[Connection, _Child] = {}
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                training = waiting.pop()
                child = _Child(training, listen(training))
                running[child.inbox] = child
            for inbox in wait(list(running)):
                child = running[inbox]  # type: ignore[index]
                kind, content = child.receive()
                if kind == "result":
                    yield content
                elif kind == "done":
                    running.pop(child.inbox).end()
    finally:
        for child in running.values():
            child.end()


class _Child:
    """A process that runs a training, as its parent sees it."""

    def __init__(self, training: "Training", listener: "Listener") -> None:
        self._title = training.title
        self._listener = listener
        context = multiprocessing.get_context("spawn")
        self.inbox, outbox = context.Pipe(duplex=False)
        # Pickled here, so that the process does not import torch before it watches us.
        content = pickle.dumps(training)
        self._process: SpawnProcess = context.Process(
            target=_run, args=(content, outbox), daemon=True
        )
        with _unheard_ctrl_c():
            self._process.start()
        outbox.close()

    def receive(self) -> tuple[str, Any]:
        """Return what comes next: an "event", which the listener hears, or a "result".

        Or "done", when nothing more will come.
        """
        try:
            kind, content = self.inbox.recv()
        except EOFError:
            self._process.join()
            raise JobError(
                f"Training {self._title} crashed with exit code "
                f"{self._process.exitcode}.",
                "See its error above. With --json FILE, continue from the finished "
                "rows with --resume.",
            ) from None
        if kind == "event":
            self._listener.emit(content)
        elif kind == "error":
            raise content
        return kind, content

    def end(self) -> None:
        """End the process, if it has not ended, and wait for it."""
        self._process.terminate()
        self._process.join(_END_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self.inbox.close()


class _Sender:
    """Listens to a training in its process, and tells the parent."""

    def __init__(self, outbox: Connection) -> None:
        self._outbox = outbox

    def emit(self, event: "Event") -> None:
        """Tell of an event."""
        self._outbox.send(("event", event))

    def should_stop(self) -> bool:
        """Never: the parent ends the process."""
        return False

    def save_preview(
        self, step: int, content: str, **arrays: npt.NDArray[np.generic]
    ) -> None:
        """Show nothing."""


@contextmanager
def _unheard_ctrl_c() -> Iterator[None]:
    """Let a process that is started inside never hear of Ctrl-C.

    A terminal sends it to all processes; the parent ends its children in order. What
    a process ignores, those that it starts ignore.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _run(content: bytes, outbox: Connection) -> None:
    # For Windows, where that is not inherited.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        training: Training = pickle.loads(content)
        for result in training.run(_Sender(outbox)):
            outbox.send(("result", result))
        outbox.send(("done", None))
    except SegmixError as error:
        outbox.send(("error", error))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
