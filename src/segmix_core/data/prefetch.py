"""Work ahead of a consumer, in one thread."""

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

T = TypeVar("T")
_POLL_SECONDS = 0.05


class _End:
    """Marks the end of the items, and the error that ended them, if one did."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def prefetch(
    make: Callable[[], Iterator[T]], depth: int = 2
) -> Generator[T, None, None]:
    """Yield what ``make()`` yields, made up to ``depth`` items ahead in a thread.

    Closing the generator, by hand or by leaving a loop under
    :func:`contextlib.closing`, ends the thread before it returns. An error in the
    thread is raised here, after the items before it.

    Parameters
    ----------
    make
        Called in the thread; the iterator lives and dies there.
    depth
        Items that wait at most, >= 1.

    Raises
    ------
    ValueError
        If ``depth`` is less than 1.
    """
    if depth < 1:
        raise ValueError(f"Expected a depth >= 1, got {depth}")
    return _prefetch(make, depth)


def _prefetch(make: Callable[[], Iterator[T]], depth: int) -> Generator[T, None, None]:
    items: queue.Queue[T | _End] = queue.Queue(depth)
    stop = threading.Event()
    thread = threading.Thread(
        target=_fill, args=(make, items, stop), name="prefetch", daemon=True
    )
    thread.start()
    try:
        while not isinstance(item := items.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        thread.join()


def _fill(
    make: Callable[[], Iterator[T]],
    items: "queue.Queue[T | _End]",
    stop: threading.Event,
) -> None:
    error: BaseException | None = None
    try:
        for item in make():
            if not _put(items, item, stop):
                return
    # Whatever went wrong belongs to the thread that waits for the items.
    except BaseException as caught:  # noqa: BLE001
        error = caught
    _put(items, _End(error), stop)


def _put(items: "queue.Queue[T]", item: T, stop: threading.Event) -> bool:
    while not stop.is_set():
        try:
            items.put(item, timeout=_POLL_SECONDS)
        except queue.Full:
            continue
        return True
    return False
